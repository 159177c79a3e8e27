// Tokens and cost of turns by model. The names of models come from configuration and from clients, so
// only the first few get a label of their own: a client cannot make the page grow.

import { Counter } from 'prom-client';
import type { Registry } from 'prom-client';
import type { Usage } from '../core/usage.ts';
import { rememberLabels } from './metric-kinds.ts';

const maxModels = 20;
const otherModels = 'other';
const words = `the first ${maxModels} that were used, else ${otherModels}`;

export function turnUsageCounters(registry: Registry): (model: string, usage: Usage) => void {
  const registers = [registry];
  const tokens = new Counter({
    name: 'codex_fleet_turn_tokens_total',
    help: 'Tokens that ended turns consumed, by model and kind.',
    labelNames: ['model', 'kind'],
    registers,
  });
  const cost = new Counter({
    name: 'codex_fleet_turn_cost_usd_total',
    help: 'What ended turns cost, by model; only of models whose price is known.',
    labelNames: ['model'],
    registers,
  });
  rememberLabels(registry, 'codex_fleet_turn_tokens_total', {
    model: [words],
    kind: ['input', 'cached_input', 'output', 'reasoning_output'],
  });
  rememberLabels(registry, 'codex_fleet_turn_cost_usd_total', { model: [words] });

  const models = new Set<string>();
  return (name, usage) => {
    if (models.size < maxModels) models.add(name);
    const model = models.has(name) ? name : otherModels;
    tokens.inc({ model, kind: 'input' }, usage.inputTokens);
    tokens.inc({ model, kind: 'cached_input' }, usage.cachedInputTokens);
    tokens.inc({ model, kind: 'output' }, usage.outputTokens);
    tokens.inc({ model, kind: 'reasoning_output' }, usage.reasoningOutputTokens);
    if (usage.costUsd !== null) cost.inc({ model }, usage.costUsd);
  };
}
