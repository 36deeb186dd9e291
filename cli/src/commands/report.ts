import { alphaPerformance } from "@qmtl/core/metrics";
import type { Command } from "commander";
import type { GlobalOptions } from "../command-settings.ts";
import { numberIn } from "../option-values.ts";
import { printJson } from "../print.ts";
import { writeWhole } from "../write-whole.ts";
import { readReportInput } from "./report-input.ts";
import { alphaMetrics, markdownReport } from "./report-markdown.ts";

interface ReportOptions extends GlobalOptions {
  from: string;
  out: string;
  riskFree: number;
  transactionCost: number;
}

const MORE_HELP = `
Examples:
  qmtl report --from returns.json
  qmtl report --from run.json --out report.html
  qmtl report --from returns.json --risk-free 0.0001 --transaction-cost 0.0002 --out -

FILE is JSON with "returns", a list of numbers (0.01 = 1 %), such as \`qmtl run STRATEGY --offline --json\` prints; its
returns include costs already. Rate and cost are per bar, not per year: 2 % per year on daily bars is 0.02 / 252. The
cost is subtracted from every return, the rate from their mean. --out - prints the report, --from - reads standard input; a
name that ends with .html asks for the HTML report, which needs the equity and fills of such a run. A metric that is ∞
(there was no loss) is left out of --json.`;

/** `qmtl report`: the alpha metrics of a list of returns. */
export function addReportCommand(program: Command): void {
  program
    .command("report")
    .description("report the alpha metrics of a list of returns")
    .requiredOption("--from <file>", 'JSON file with "returns"')
    .option("--out <file>", "report to write; - prints it", "report.md")
    .option("--risk-free <rate>", "risk-free rate per bar", numberIn(), 0)
    .option("--transaction-cost <cost>", "transaction cost per bar", numberIn(), 0)
    .addHelpText("after", MORE_HELP)
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<ReportOptions>();
      const { from, out, riskFree, transactionCost } = options;
      const input = readReportInput(from);
      const costs = { riskFreeRate: riskFree, transactionCost };
      const performance = alphaPerformance(input.returns, costs);
      let text: string;
      if (/\.html?$/i.test(out)) {
        const { htmlReport } = await import("./report-html.ts");
        text = htmlReport(input, performance, from, Date.now());
      } else {
        const { strategy } = input.fields;
        const title = typeof strategy === "string" ? strategy : from === "-" ? "returns" : from;
        text = markdownReport({ title, performance, riskFree, transactionCost });
      }
      if (out !== "-") writeWhole(out, text, true);
      if (options.json) {
        const known = alphaMetrics.filter((metric) => Number.isFinite(performance[metric]));
        const metrics = Object.fromEntries(known.map((metric) => [metric, performance[metric]]));
        printJson({ report: out === "-" ? null : out, metrics, ...(out === "-" && { text }) });
      } else if (out === "-") console.log(text.trimEnd());
      else console.log(`report: ${out}`);
    });
}
