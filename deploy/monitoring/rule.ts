// What a rule is, before it is written for one system or another.

/** page: a person is called now. ticket: somebody looks on the next working day. */
export type Severity = 'page' | 'ticket';

export type RecordingRule = { readonly record: string; readonly expr: string };

export type AlertRule = {
  readonly alert: string;
  readonly severity: Severity;
  readonly expr: string;
  /** How long it must hold; a Prometheus duration. */
  readonly holds: string;
  readonly summary: string;
  /** What users notice of it. */
  readonly cost: string;
};

export type RuleGroup = {
  readonly name: string;
  readonly intervalSeconds: number;
  readonly rules: readonly (RecordingRule | AlertRule)[];
};

export function isAlert(rule: RecordingRule | AlertRule): rule is AlertRule {
  return 'alert' in rule;
}

export function alertsOf(groups: readonly RuleGroup[]): AlertRule[] {
  return groups.flatMap(({ rules }) => rules.filter(isAlert));
}
