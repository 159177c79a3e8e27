// What the model proxy's process is told by the process that starts it: one line of JSON on its
// standard input, which then stays open. The API key is not in it: only where to find it.

export type ModelProxySettings = {
  readonly dataSocket: string;
  readonly controlSocket: string;
  readonly controlCredential: string;
  readonly provider: 'openai' | 'responses' | 'ollama' | 'demo';
  readonly baseUrl: string | null;
  readonly model: string;
  /** Name of the variable that holds the key; null when the provider takes none. */
  readonly apiKeyEnv: string | null;
  readonly apiKeyFile: string | null;
  readonly logLevel: string;
};
