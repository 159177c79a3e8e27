// What the processes of a scripted cluster and those who measure them agree on; importing it starts nothing.

export type ScriptedMemberJob = { readonly flags: Readonly<Record<string, string>> };
export type ScriptedMemberReady = { readonly url: string; readonly token: string };
