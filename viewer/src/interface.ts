// Everything around the picture: title, buttons, strip, time line, help, messages.

import type { Manifest } from "./manifest";
import type { Playback } from "./playback";
import type { Colour } from "./renderer";

export type State = "loading" | "moving" | "still" | "failed";

const SHADES: { name: string; colour: Colour }[] = [
  { name: "black", colour: [0, 0, 0] },
  { name: "grey", colour: [0.36, 0.36, 0.38] },
  { name: "white", colour: [1, 1, 1] },
];
const SPEEDS = [0.25, 0.5, 1, 2];
const HINT_SECONDS = 8;

export interface Wishes {
  home(): void;
  shade(): void;
  /** Fly along a path, or stop flying along it. */
  fly(index: number): void;
  play(): void;
  time(index: number): void;
  speed(): void;
}

const part = <T extends Element = HTMLElement>(id: string): T => document.getElementById(id) as unknown as T;

export class Interface {
  private shadeIndex = 0;

  constructor(
    private readonly manifest: Manifest,
    private readonly playback: Playback,
    private readonly wishes: Wishes,
  ) {
    part("title").textContent = manifest.title;
    part("facts").textContent = facts(manifest);
    part("home").onclick = () => wishes.home();
    part("shade").onclick = () => this.nextShade();
    part("ask").onclick = () => part<HTMLDialogElement>("help").showModal();
    this.offerFullScreen();
    this.offerFile();
    this.fillStrip();
    this.fillTimeline();
    for (const line of document.querySelectorAll<HTMLElement>("[data-for]")) {
      line.hidden = part(line.dataset["for"]!).hidden;
    }
    // a button that was clicked must not keep the keyboard: the space bar plays and pauses
    document.addEventListener("click", (event) => {
      if (event.detail > 0) (event.target as Element).closest<HTMLElement>("button, a")?.blur();
    });
    const help = part<HTMLDialogElement>("help");
    help.onclick = (event) => {
      if (event.target === help) help.close();
    };
    const touch = matchMedia("(pointer: coarse)").matches;
    part("hint").textContent = touch ? "Drag to look around, pinch to go nearer" : "Drag to look around, scroll to go nearer";
    setTimeout(() => this.dropHint(), HINT_SECONDS * 1000);
    window.addEventListener("keydown", (event) => this.key(event));
  }

  /** The chosen background. */
  get shade(): Colour {
    return SHADES[this.shadeIndex]!.colour;
  }

  /** The visitor has understood how to move. */
  dropHint(): void {
    part("hint").classList.add("gone");
  }

  /** Mark the path that is being flown, if any, and how far. */
  showFlight(index: number | null, progress: number): void {
    for (const [k, button] of [...part("strip").children].entries()) {
      button.setAttribute("aria-pressed", String(k === index));
      (button as HTMLElement).style.setProperty("--progress", k === index ? String(progress) : "0");
    }
  }

  /** Show which time is drawn and whether it runs. */
  showTime(): void {
    const { playback, manifest } = this;
    const slider = part<HTMLInputElement>("time");
    slider.value = String(playback.index);
    slider.style.setProperty("--done", `${(100 * playback.index) / Math.max(1, manifest.sets.length - 1)}%`);
    part("clock").textContent = `${manifest.sets[playback.index]!.time.toFixed(2)} s`;
    part("speed").textContent = `${playback.speed}×`;
    const play = part("play");
    play.setAttribute("aria-label", playback.playing ? "Pause" : "Play");
    play.querySelector("use")!.setAttribute("href", playback.playing ? "#i-pause" : "#i-play");
  }

  private nextShade(): void {
    this.shadeIndex = (this.shadeIndex + 1) % SHADES.length;
    part("shade").title = `Background: ${SHADES[this.shadeIndex]!.name} (B)`;
    document.body.style.background = `rgb(${this.shade.map((part) => 255 * part).join(" ")})`;
    this.wishes.shade();
  }

  private offerFullScreen(): void {
    part("grow").hidden = !document.fullscreenEnabled;
    part("grow").onclick = () => {
      if (document.fullscreenElement) void document.exitFullscreen();
      else void document.documentElement.requestFullscreen();
    };
  }

  private offerFile(): void {
    const [file] = this.manifest.files;
    if (!file) return;
    const link = part<HTMLAnchorElement & HTMLElement>("save");
    link.hidden = false;
    link.href = file.address;
    link.download = file.name;
    link.title = `Save ${file.name} (${size(file.bytes)})`;
  }

  private fillStrip(): void {
    const strip = part("strip");
    for (const [index, path] of this.manifest.trajectories.entries()) {
      const button = document.createElement("button");
      const known = document.getElementById(`i-${path.name}`);
      const icon = part<SVGElement>("home").querySelector("svg")!.cloneNode(true) as SVGElement;
      icon.querySelector("use")!.setAttribute("href", known ? `#i-${path.name}` : "#i-path");
      const label = document.createElement("span");
      label.textContent = path.name.replaceAll("_", " ");
      button.append(icon, label);
      button.title = `Fly along ${label.textContent}${index < 9 ? ` (${index + 1})` : ""}`;
      button.setAttribute("aria-label", button.title);
      button.setAttribute("aria-pressed", "false");
      button.onclick = () => this.wishes.fly(index);
      strip.append(button);
    }
    strip.hidden = this.manifest.trajectories.length === 0;
    part("last-path").textContent = String(Math.min(9, this.manifest.trajectories.length));
  }

  private fillTimeline(): void {
    const { manifest, wishes, playback } = this;
    part("timeline").hidden = manifest.sets.length < 2;
    const slider = part<HTMLInputElement>("time");
    slider.max = String(manifest.sets.length - 1);
    slider.oninput = () => wishes.time(Number(slider.value));
    part("play").onclick = () => wishes.play();
    part("speed").onclick = () => {
      playback.speed = SPEEDS[(SPEEDS.indexOf(playback.speed) + 1) % SPEEDS.length]!;
      wishes.speed();
    };
    this.showTime();
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const help = part<HTMLDialogElement>("help");
    if (help.open) return;
    const digit = /^[1-9]$/.test(event.key) ? Number(event.key) - 1 : -1;
    if (digit >= 0 && digit < this.manifest.trajectories.length) this.wishes.fly(digit);
    else if (event.key === "?") help.showModal();
    else if (event.code === "KeyR") this.wishes.home();
    else if (event.code === "KeyB") this.nextShade();
    else if (event.code === "KeyF") part("grow").click();
    else if (event.code === "KeyH") document.body.classList.toggle("bare");
    else if (event.code === "Space" && !part("timeline").hidden && !(event.target instanceof HTMLButtonElement)) this.wishes.play();
    else return;
    event.preventDefault();
  }
}

/** Tell what the page is doing; the style sheet and the tests read it. */
export function show(state: State, message = ""): void {
  document.documentElement.dataset["state"] = state;
  if (message) part("message").textContent = message;
}

/** How much of the scene has arrived, 0…1. */
export function showArrival(share: number): void {
  part("bar").style.setProperty("--share", String(share));
}

function facts(manifest: Manifest): string {
  const counts = manifest.sets.map((set) => set.count);
  const bytes = manifest.sets.reduce((sum, set) => sum + set.bytes, 0);
  const count = Math.max(...counts).toLocaleString("en-US");
  return [`${count} splats`, ...(counts.length > 1 ? [`${counts.length} times`] : []), size(bytes)].join(" · ");
}

function size(bytes: number): string {
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
