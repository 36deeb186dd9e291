/** Wakes everybody who waits, at each change. */
export class Pulse {
  #wake: (() => void) | undefined;
  #next: Promise<void>;

  constructor() {
    this.#next = this.#renew();
  }

  /** Resolves at the next `notify`, or when the signal aborts. */
  async changed(signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return;
    if (signal === undefined) return this.#next;
    let stop: () => void = () => {};
    const aborted = new Promise<void>((resolve) => {
      stop = resolve;
    });
    signal.addEventListener("abort", stop);
    await Promise.race([this.#next, aborted]);
    signal.removeEventListener("abort", stop);
  }

  notify(): void {
    const wake = this.#wake;
    this.#next = this.#renew();
    wake?.();
  }

  #renew(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
