// Reads a Responses request as the demo model needs it: which prompt is asked, how far its script
// has come, what was said before. Keeps no state: all of it is in the request, as Codex sends it.

export type ToolResult = {
  /** The step that made the call. */
  readonly step: number;
  readonly callId: string;
  /** null while Codex has not answered it. */
  readonly output: string | null;
};

export type Conversation = {
  readonly model: string;
  /** The latest message of the user; empty when there is none. */
  readonly prompt: string;
  readonly earlierPrompts: readonly string[];
  /** What AGENTS.md files said, as Codex passed it on. */
  readonly agentsInstructions: string | null;
  readonly developerTexts: readonly string[];
  /** What Codex calls the tool that runs a command; it depends on the model. */
  readonly commandTool: 'exec_command' | 'shell_command';
  /** The tool calls of this turn, in order. */
  readonly toolResults: readonly ToolResult[];
  /** The same for each model call of a turn, whether or not it is a repetition. */
  readonly turnKey: string;
  readonly inputChars: number;
};

type Item = Readonly<Record<string, unknown>>;

const callIdPattern = /^demo_(\d+)_/;
/** Codex puts what it knows into the user's mouth, in tags or under this title. */
const agentsTitle = '# AGENTS.md instructions';
const contextPattern = /^<([a-z_][a-z_ -]*)>[\s\S]*<\/\1>$/i;

export function readConversation(request: unknown): Conversation {
  const fields = asItem(request);
  const items = inputItems(fields['input']);
  const prompts: string[] = [];
  const developerTexts: string[] = [];
  let agentsInstructions: string | null = null;
  let afterPrompt: Item[] = [];

  for (const item of items) {
    const texts = item['type'] === 'message' || item['type'] === undefined ? contentTexts(item['content']) : [];
    if (item['role'] === 'developer' || item['role'] === 'system') developerTexts.push(...texts);
    if (item['role'] === 'user') {
      for (const text of texts) {
        if (text.startsWith(agentsTitle)) agentsInstructions = text;
      }
      const said = texts.filter((text) => !isContext(text));
      if (said.length > 0) {
        prompts.push(said.join('\n'));
        afterPrompt = [];
      }
    }
    afterPrompt.push(item);
  }

  return {
    model: typeof fields['model'] === 'string' ? fields['model'] : '',
    prompt: prompts.at(-1) ?? '',
    earlierPrompts: prompts.slice(0, -1),
    agentsInstructions,
    developerTexts,
    commandTool: commandTool(fields['tools']),
    toolResults: toolResults(afterPrompt),
    turnKey: turnKey(fields, prompts.length),
    inputChars: JSON.stringify(fields['input'] ?? '').length,
  };
}

/** The step that a script goes on with. */
export function nextStep(conversation: Conversation): number {
  const last = conversation.toolResults.at(-1);
  return last === undefined ? 0 : last.step + 1;
}

export function callIdFor(step: number, serial: string): string {
  return `demo_${step}_${serial}`;
}

function isContext(text: string): boolean {
  const trimmed = text.trim();
  return trimmed === '' || trimmed.startsWith(agentsTitle) || contextPattern.test(trimmed);
}

function toolResults(items: readonly Item[]): ToolResult[] {
  const outputs = new Map<string, string>();
  for (const item of items) {
    if (item['type'] === 'function_call_output' && typeof item['call_id'] === 'string') {
      outputs.set(item['call_id'], outputText(item['output']));
    }
  }
  const results: ToolResult[] = [];
  for (const item of items) {
    const callId = item['type'] === 'function_call' ? item['call_id'] : undefined;
    if (typeof callId !== 'string') continue;
    const match = callIdPattern.exec(callId);
    if (match === null) continue;
    results.push({ step: Number(match[1]), callId, output: outputs.get(callId) ?? null });
  }
  return results;
}

function commandTool(tools: unknown): 'exec_command' | 'shell_command' {
  const names = Array.isArray(tools) ? tools.map((tool) => asItem(tool)['name']) : [];
  return names.includes('shell_command') && !names.includes('exec_command') ? 'shell_command' : 'exec_command';
}

function turnKey(fields: Item, promptCount: number): string {
  const turn = asItem(fields['client_metadata'])['turn_id'];
  if (typeof turn === 'string') return turn.slice(0, 200);
  const cacheKey = fields['prompt_cache_key'];
  return `${typeof cacheKey === 'string' ? cacheKey.slice(0, 200) : ''}#${promptCount}`;
}

function inputItems(input: unknown): Item[] {
  if (typeof input === 'string') return [{ type: 'message', role: 'user', content: input }];
  return Array.isArray(input) ? input.map(asItem) : [];
}

function contentTexts(content: unknown): string[] {
  if (typeof content === 'string') return [content];
  if (!Array.isArray(content)) return [];
  return content.map((part) => asItem(part)['text']).filter((text) => typeof text === 'string');
}

function outputText(output: unknown): string {
  if (typeof output === 'string') return output;
  const texts = contentTexts(output);
  return texts.length > 0 ? texts.join('\n') : JSON.stringify(output ?? '');
}

function asItem(value: unknown): Item {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Item) : {};
}
