// The shape of what a tool knows of its commands.

/** Of a flag: whether it stands alone, takes a value, or one of some. */
export type Flag = 'bool' | 'value' | readonly string[];
export type Node = { readonly flags: Readonly<Record<string, Flag>>; readonly commands: readonly string[] };

export type Known = {
  readonly version: string;
  readonly globals: Readonly<Record<string, Flag>>;
  /** By path, such as `container clusters`; of a group, what is in it. */
  readonly nodes: Readonly<Record<string, Node>>;
};

export type KnownTools = { readonly gcloud: Known; readonly kubectl: Known };
