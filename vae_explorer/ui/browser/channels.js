// Channels between views.

const channels = (window.__vaeChannels ??= new Map());

/** Values that several views of a page move and follow. */
function openChannel(name) {
  if (!channels.has(name)) channels.set(name, { values: {}, given: "", followers: new Set() });
  const channel = channels.get(name);
  return {
    values: channel.values,
    /** Values from Python: taken up when they are news, so that a rerun never jerks a drag back. */
    give(values) {
      const given = JSON.stringify(values);
      if (given === channel.given) return;
      channel.given = given;
      this.move(values, 0);
    },
    move(values, since) {
      Object.assign(channel.values, values);
      for (const follow of channel.followers) follow(since);
    },
    follow(callback) {
      channel.followers.add(callback);
      return () => channel.followers.delete(callback);
    },
  };
}
