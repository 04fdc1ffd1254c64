// Depth order of the Gaussians, found in a worker: exact (a stable radix sort of the float bits of z), farthest first.

import type { Lens } from "./renderer";
import { depthRow, type Pose } from "./pose";
import { TEXTURE_WIDTH } from "./splats";

/** What to draw, far to near: `count` indices of one set, padded to full rows of TEXTURE_WIDTH. */
export interface Order {
  set: number;
  indices: Uint32Array<ArrayBuffer>;
  count: number;
}

type Question =
  | { kind: "add"; set: number; centres: Float32Array<ArrayBuffer> }
  | { kind: "sort"; set: number; depth: ReturnType<typeof depthRow>; near: number; width: number }
  | { kind: "pick"; set: number; rows: number[]; lens: Lens; near: number; x: number; y: number; radius: number };

/** Asks a worker for orders; while one is being found, only the newest further question is kept. */
export class Sorter {
  private readonly worker: Worker;
  private waiting: Question | null = null;
  private busy = false;
  private asked = "";
  private picked: (depth: number) => void = () => {};

  constructor(answer: (order: Order) => void) {
    const address = URL.createObjectURL(new Blob([`(${work.toString()})()`], { type: "text/javascript" }));
    this.worker = new Worker(address);
    URL.revokeObjectURL(address);
    this.worker.onmessage = (event: MessageEvent<Order | number>) => {
      if (typeof event.data === "number") {
        this.picked(event.data);
        return;
      }
      this.busy = false;
      if (this.waiting) this.send(this.waiting);
      answer(event.data);
    };
  }

  /** True while an order is on its way. */
  get pending(): boolean {
    return this.busy;
  }

  /** Hand over the centres of a set, [N, 3]; they are gone afterwards. */
  add(set: number, centres: Float32Array<ArrayBuffer>): void {
    this.worker.postMessage({ kind: "add", set, centres } satisfies Question, [centres.buffer]);
  }

  /** Ask for the order of a set seen from a pose; the same question twice in a row is asked once. */
  request(set: number, pose: Pose, near: number): void {
    const depth = depthRow(pose);
    const key = `${set} ${depth.join(" ")}`;
    if (key === this.asked) return;
    this.asked = key;
    const question: Question = { kind: "sort", set, depth, near, width: TEXTURE_WIDTH };
    if (this.busy) this.waiting = question;
    else this.send(question);
  }

  /** z of what is seen at a pixel, or 0 where nothing is: the near quarter of the centres around it. */
  pick(set: number, pose: Pose, lens: Lens, near: number, x: number, y: number): Promise<number> {
    const rows = rowsOf(pose);
    const radius = 0.02 * Math.min(lens.width, lens.height);
    this.worker.postMessage({ kind: "pick", set, rows, lens, near, x, y, radius } satisfies Question);
    return new Promise((resolve) => {
      this.picked = resolve;
    });
  }

  private send(question: Question): void {
    this.waiting = null;
    this.busy = true;
    this.worker.postMessage(question);
  }
}

/** World-to-camera, [3, 4] by rows. */
function rowsOf({ rotation: m, position: p }: Pose): number[] {
  return [0, 1, 2].flatMap((c) => [m[c]!, m[3 + c]!, m[6 + c]!, -(m[c]! * p[0] + m[3 + c]! * p[1] + m[6 + c]! * p[2])]);
}

/** Runs in the worker, alone: it must not refer to anything outside itself. */
function work(): void {
  const sets = new Map<number, Float32Array>();
  const tally = new Uint32Array(65536);
  let keys = new Uint32Array(0);
  let depths = new Float32Array(0);
  let first = new Uint32Array(0);
  let second = new Uint32Array(0);

  const sort = (centres: Float32Array, [a, b, c, d]: [number, number, number, number], near: number, width: number) => {
    const count = centres.length / 3;
    const room = Math.ceil(count / width) * width;
    if (first.length < room) {
      keys = new Uint32Array(room);
      depths = new Float32Array(keys.buffer);
      first = new Uint32Array(room);
      second = new Uint32Array(room);
    }
    let seen = 0;
    for (let i = 0; i < count; i++) {
      const z = a * centres[3 * i]! + b * centres[3 * i + 1]! + c * centres[3 * i + 2]! + d;
      if (z > near) {
        depths[i] = z; // positive floats sort as their bits do
        first[seen++] = i;
      }
    }
    const pass = (from: Uint32Array, to: Uint32Array, shift: number, backwards: boolean): void => {
      tally.fill(0);
      for (let i = 0; i < seen; i++) tally[(keys[from[i]!]! >>> shift) & 65535]!++;
      for (let key = 0, before = 0; key < 65536; key++) {
        const here = tally[key]!;
        tally[key] = backwards ? seen - 1 - before : before;
        before += here;
      }
      const step = backwards ? -1 : 1;
      for (let i = 0; i < seen; i++) {
        const index = from[i]!;
        const key = (keys[index]! >>> shift) & 65535;
        to[tally[key]!] = index;
        tally[key]! += step;
      }
    };
    pass(first, second, 0, false);
    pass(second, first, 16, true);
    return { indices: first.slice(0, Math.ceil(seen / width) * width), count: seen };
  };

  self.onmessage = (event: MessageEvent<Question>) => {
    const question = event.data;
    if (question.kind === "add") {
      sets.set(question.set, question.centres);
      return;
    }
    const centres = sets.get(question.set)!;
    if (question.kind === "sort") {
      const { indices, count } = sort(centres, question.depth, question.near, question.width);
      self.postMessage({ set: question.set, indices, count }, { transfer: [indices.buffer] });
      return;
    }
    const { rows: m, lens, near, x, y, radius } = question;
    const found: number[] = [];
    for (let i = 0; i < centres.length; i += 3) {
      const row = (r: number) => m[r]! * centres[i]! + m[r + 1]! * centres[i + 1]! + m[r + 2]! * centres[i + 2]! + m[r + 3]!;
      const z = row(8);
      if (z <= near) continue;
      const u = lens.cx + (lens.fx * row(0)) / z - x;
      const v = lens.cy + (lens.fy * row(4)) / z - y;
      if (u * u + v * v < radius * radius) found.push(z);
    }
    found.sort((p, q) => p - q);
    self.postMessage(found.length ? found[found.length >> 2] : 0);
  };
}
