// From the page or from the server to unpacked Gaussians.

import type { Manifest } from "./manifest";
import { packedSize, unpack, type SplatSet } from "./splats";

/** Load one set; `tell` hears the share that has arrived, 0…1. */
export async function load(set: Manifest["sets"][number], tell: (share: number) => void): Promise<SplatSet> {
  const bytes = set.source.startsWith("#") ? await embedded(set.source.slice(1)) : await fetched(set, tell);
  tell(1);
  return unpack(bytes, set.count);
}

/** Text of an element: base64 of a zlib stream. The element is emptied, for the text is large. */
async function embedded(id: string): Promise<Uint8Array<ArrayBuffer>> {
  const element = document.getElementById(id)!;
  const text = atob(element.textContent!.trim());
  element.textContent = "";
  const packed = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) packed[i] = text.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function fetched(
  set: Manifest["sets"][number],
  tell: (share: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  if (set.count === 0) return new Uint8Array(0);
  const answer = await fetch(set.source);
  if (!answer.ok || !answer.body) throw new Error(`The server answered ${answer.status}; is it still running?`);
  const bytes = new Uint8Array(packedSize(set.count));
  const reader = answer.body.getReader();
  let filled = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (filled + part.value.length > bytes.length) throw new Error("The scene data is damaged: it is too long.");
    bytes.set(part.value, filled);
    filled += part.value.length;
    tell(filled / bytes.length);
  }
  if (filled < bytes.length) throw new Error("The scene data is cut off; is the server still running?");
  return bytes;
}
