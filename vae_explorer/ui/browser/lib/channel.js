// Observable values, shared by name between the views of a page.

/** Subscribe to the values of a channel; the views of a page may be separate script instances. */
export function openChannel(name) {
  const channels = (globalThis.__vaeChannels ??= new Map());
  if (!channels.has(name)) channels.set(name, { values: {}, given: "", followers: new Set() });
  const channel = channels.get(name);
  return {
    values: channel.values,
    /** Take values from Python, only if they changed: a rerun must not undo a drag. */
    give(values) {
      const given = JSON.stringify(values);
      if (given === channel.given) return;
      channel.given = given;
      this.move(values, 0);
    },
    /** Set values and notify all followers; `since` is the timestamp of the input. */
    move(values, since) {
      Object.assign(channel.values, values);
      for (const follow of channel.followers) follow(since);
    },
    /** Returns what unsubscribes. */
    follow(callback) {
      channel.followers.add(callback);
      return () => channel.followers.delete(callback);
    },
  };
}
