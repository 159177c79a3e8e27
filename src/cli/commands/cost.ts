// `codex-fleet cost`: what an overlay costs in a month at list prices, and the model's tokens beside it.

import { type Assumptions, type Cost, costOf, type CostRow, isOnGoogle, usualAssumptions } from '../../deploy/cost.ts';
import { newestPriceDate } from '../../deploy/prices.ts';
import type { CliContext } from '../cli-context.ts';
import { CliError, exitCodes, type ExitCode } from '../exit-codes.ts';
import { textTable } from '../table.ts';
import { rendered } from './deploy.ts';

/** Each flag with what it changes. */
export const costFlags = {
  turns: ['turnsPerMonth', 'turns in a month'],
  inputTokens: ['inputTokensPerTurn', 'input tokens of a turn, over all its calls of the model'],
  cachedTokens: ['cachedInputTokensPerTurn', 'those of them that the provider has cached'],
  outputTokens: ['outputTokensPerTurn', 'output tokens of a turn'],
  inputPrice: ['inputPrice', 'dollars for a million input tokens'],
  cachedInputPrice: ['cachedInputPrice', 'dollars for a million cached input tokens'],
  outputPrice: ['outputPrice', 'dollars for a million output tokens'],
  storedGib: ['storedGiB', 'GiB of snapshots kept'],
} as const satisfies Readonly<Record<string, readonly [keyof Assumptions, string]>>;

type CostFlag = keyof typeof costFlags;
export type CostOptions = Partial<Record<CostFlag, string>> & { readonly json?: boolean };

export async function runCost(context: CliContext, overlay: string, options: CostOptions): Promise<ExitCode> {
  const assumed = assumptionsOf(options);
  const { manifests } = await rendered(context.kubectl, overlay);
  const cost = costOf(manifests, assumed);
  if (options.json === true) {
    await context.stdout.write(`${JSON.stringify({ ...cost, assumptions: assumed }, null, 2)}\n`);
    return exitCodes.completed;
  }
  await context.stdout.write(isOnGoogle(manifests) ? tableOf(cost) : elsewhere(overlay, cost));
  return exitCodes.completed;
}

function assumptionsOf(options: CostOptions): Assumptions {
  const given = Object.entries(costFlags).flatMap(([flag, [assumption]]) => {
    const text = options[flag as CostFlag];
    if (text === undefined) return [];
    const value = Number(text);
    if (text.trim() !== '' && Number.isFinite(value) && value >= 0) return [[assumption, value] as const];
    const name = flag.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw new CliError(exitCodes.usage, `--${name} takes a number of 0 or more, not ${JSON.stringify(text)}`);
  });
  const assumed = { ...usualAssumptions, ...Object.fromEntries(given) };
  if (assumed.cachedInputTokensPerTurn <= assumed.inputTokensPerTurn) return assumed;
  throw new CliError(
    exitCodes.usage,
    `of ${assumed.inputTokensPerTurn} input tokens, ${assumed.cachedInputTokensPerTurn} cannot be cached: see --input-tokens and --cached-tokens`,
  );
}

function tableOf({ least, most, rows, tokens }: Cost): string {
  const lines = [...rows, { what: 'Together', from: '', least, most }, tokens];
  return (
    textTable(['WHAT', 'LEAST', 'MOST', 'FROM'], lines.map(cellsOf)) +
    `\nDollars a month, us-central1, list prices as read until ${newestPriceDate}, without discounts and taxes. LEAST and\n` +
    'MOST differ by how far the autoscalers go. The tokens are not in the sum: they are paid to the model’s provider.\n'
  );
}

function elsewhere(overlay: string, { tokens }: Cost): string {
  return `${textTable(['WHAT', 'LEAST', 'MOST', 'FROM'], [cellsOf(tokens)])}\n${overlay} has nothing that Google bills; what its cluster costs is known to who runs that.\n`;
}

function cellsOf({ from, least, most, what }: CostRow): string[] {
  return [what, dollars(least), dollars(most), from];
}

function dollars(amount: number): string {
  return `$${amount.toLocaleString('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
}
