// All rules, in the order in which they are written.

import { alertGroups } from './alerts.ts';
import { objectiveGroups } from './objectives.ts';
import type { RuleGroup } from './rule.ts';
import type { MonitoringSettings } from './settings.ts';

export function ruleGroups(settings: MonitoringSettings): readonly RuleGroup[] {
  return [...objectiveGroups(settings), ...alertGroups(settings)];
}
