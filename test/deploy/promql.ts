// What a PromQL expression names: series, labels, values. Parsed with Prometheus's own grammar.

import { parser } from '@prometheus-io/lezer-promql';

export type Matcher = { readonly label: string; readonly operator: string; readonly values: readonly string[] };
export type Selector = { readonly series: string; readonly matchers: readonly Matcher[] };
export type ParsedExpression = {
  readonly selectors: readonly Selector[];
  /** In `by`, `on`, `group_left` and the like. */
  readonly groupLabels: readonly string[];
};

/** Throws a SyntaxError that shows where it is wrong. */
export function parseExpression(expr: string): ParsedExpression {
  const selectors: Selector[] = [];
  const groupLabels: string[] = [];
  const tree = parser.parse(expr);
  const cursor = tree.cursor();
  do {
    const text = expr.slice(cursor.from, cursor.to);
    if (cursor.type.isError) throw new SyntaxError(`not PromQL at ${cursor.from}: ${expr}`);
    if (cursor.name === 'VectorSelector') selectors.push({ series: nameIn(text), matchers: [] });
    if (cursor.name === 'UnquotedLabelMatcher') {
      const last = selectors.pop();
      if (last === undefined) throw new SyntaxError(`a matcher of nothing: ${expr}`);
      selectors.push({ ...last, matchers: [...last.matchers, matcherOf(text)] });
    }
    if (cursor.name === 'LabelName' && cursor.node.parent?.name === 'GroupingLabels') groupLabels.push(text);
  } while (cursor.next());
  return { selectors, groupLabels };
}

/** `name{…}`, `{"name with dots and slashes", …}`, `{__name__="name", …}`. */
function nameIn(selector: string): string {
  const [, plain, quoted, matched] =
    /^(?:([A-Za-z_:][\w:]*)|\{\s*"([^"]+)"|\{.*?\b__name__\s*=\s*"([^"]+)")/s.exec(selector) ?? [];
  const name = plain ?? quoted ?? matched;
  if (name === undefined) throw new SyntaxError(`a selector without a name: ${selector}`);
  return name;
}

function matcherOf(text: string): Matcher {
  const parts = /^(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"$/.exec(text);
  if (parts === null) throw new SyntaxError(`a matcher that is not understood: ${text}`);
  const [, label = '', operator = '', value = ''] = parts;
  return { label, operator, values: operator.endsWith('~') ? value.split('|') : [value] };
}
