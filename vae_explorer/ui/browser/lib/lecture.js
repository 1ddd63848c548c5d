// The pointer of a lecture: channels between the views of a page and what sends or receives it.

import { openChannel } from "./channel.js";

/** The pointer of this page, {model: checkpoint, z: [number, ...] or null}; views move it. */
export const openOwnPointer = () => openChannel("lecture-own-pointer");

/** The lecturer's pointer, of the same form; views show it. */
export const openLecturerPointer = () => openChannel("lecture-lecturer-pointer");
