// Flying along one of the camera paths that the scene was made from, and back.

import type { Intrinsics, Manifest } from "./manifest";
import { blend, standAt, type Stand } from "./stand";
import { length, add } from "./pose";

const THERE_SECONDS = 3.2;
const STAY_SECONDS = 0.6;
const BACK_SECONDS = 2.2;
const JOIN_SECONDS = 0.6;

const smooth = (x: number): number => {
  const t = Math.min(1, Math.max(0, x));
  return t * t * (3 - 2 * t);
};

/** One flight; `from` is where it takes off. */
export class Flight {
  private seconds = 0;
  private readonly stands: Stand[];
  private readonly lenses: Intrinsics[];
  private readonly total: number;

  constructor(
    path: Manifest["trajectories"][number],
    private readonly from: Stand,
    reach: number,
  ) {
    this.stands = path.poses.map((pose) => standAt(pose, reach));
    this.lenses = path.intrinsics;
    // a path that ends where it began needs no way back
    const gap = length(add(this.stands[0]!.position, this.stands.at(-1)!.position, -1));
    this.total = THERE_SECONDS + (gap > 0.01 * reach ? STAY_SECONDS + BACK_SECONDS : 0);
  }

  /** Share of the flight that is done, 0…1. */
  get progress(): number {
    return Math.min(1, this.seconds / this.total);
  }

  /** Fly on; false when the flight is over. */
  advance(seconds: number): boolean {
    this.seconds += seconds;
    return this.progress < 1;
  }

  /** Where the flight is. */
  get stand(): Stand {
    const { index, share } = this.place();
    const along = blend(this.stands[index]!, this.stands[Math.min(index + 1, this.stands.length - 1)]!, share);
    return blend(this.from, along, smooth(this.seconds / JOIN_SECONDS));
  }

  /** What the lens is there. */
  get intrinsics(): Intrinsics {
    const { index, share } = this.place();
    const next = this.lenses[Math.min(index + 1, this.lenses.length - 1)]!;
    return this.lenses[index]!.map((value, k) => value + share * (next[k]! - value)) as Intrinsics;
  }

  private place(): { index: number; share: number } {
    const there = smooth(this.seconds / THERE_SECONDS);
    const home = smooth((Math.min(this.seconds, this.total) - THERE_SECONDS - STAY_SECONDS) / BACK_SECONDS);
    const at = (there - home) * (this.stands.length - 1);
    const index = Math.floor(at);
    return { index, share: at - index };
  }
}
