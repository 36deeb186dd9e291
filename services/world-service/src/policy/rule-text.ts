/** A comparison for people: `9.03 > 3`. The value has two decimals, or more where they would hide the verdict. */
export function boundText(value: number, sign: string, bound: number): string {
  let text = value.toFixed(2);
  for (let digits = 3; digits <= 8 && Number(text) === bound && value !== bound; digits += 1) {
    text = value.toFixed(digits);
  }
  return `${text} ${sign} ${bound}`;
}
