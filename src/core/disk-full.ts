// Whether the operating system says that there is no room: no space, or no quota left.

export function isDiskFull(error: unknown): boolean {
  const code = (error as { readonly code?: unknown } | null | undefined)?.code;
  return code === 'ENOSPC' || code === 'EDQUOT';
}
