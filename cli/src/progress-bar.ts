/** A bar on standard error, drawn only on a terminal. */
export interface ProgressBar {
  update(done: number, total: number): void;
  /** Clears the line. */
  end(): void;
}

const width = 30;

export function progressBar(label: string): ProgressBar {
  const stream = process.stderr;
  if (!stream.isTTY) return { update: () => {}, end: () => {} };
  let drawn = -1;
  return {
    update: (done, total) => {
      const filled = Math.round((width * done) / Math.max(1, total));
      if (filled === drawn) return;
      drawn = filled;
      stream.write(
        `\r${label} [${"#".repeat(filled)}${".".repeat(width - filled)}] ${done}/${total}`,
      );
    },
    end: () => {
      if (drawn >= 0) stream.write("\r\x1b[K");
    },
  };
}
