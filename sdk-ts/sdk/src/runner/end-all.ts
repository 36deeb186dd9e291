/**
 * Ends parts one after the other, in this order; one that fails keeps no other from its end.
 *
 * @throws the first failure, after the last step
 */
export async function endAll(steps: readonly (() => unknown)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const step of steps) {
    try {
      await step();
    } catch (failure) {
      failures.push(failure);
    }
  }
  if (failures.length > 0) throw failures[0];
}
