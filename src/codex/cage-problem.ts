// Why no cage can be made, for the person who runs the machine: what bubblewrap said, and the setting behind it.

import { readFile } from 'node:fs/promises';

type Setting = { readonly file: string; readonly forbids: string; readonly words: string };

const namespaceSettings: readonly Setting[] = [
  {
    file: '/proc/sys/kernel/apparmor_restrict_unprivileged_userns',
    forbids: '1',
    words:
      'AppArmor keeps unprivileged programs from making user namespaces (kernel.apparmor_restrict_unprivileged_userns = 1)',
  },
  {
    file: '/proc/sys/kernel/unprivileged_userns_clone',
    forbids: '0',
    words: 'user namespaces are switched off (kernel.unprivileged_userns_clone = 0)',
  },
  {
    file: '/proc/sys/user/max_user_namespaces',
    forbids: '0',
    words: 'user namespaces are switched off (user.max_user_namespaces = 0)',
  },
];

export async function explainCageFailure(said: string): Promise<string> {
  const detail = said
    .replace(/^Codex could not be started: /, '')
    .trim()
    .slice(-500);
  if (/mount proc/i.test(said))
    return `/proc cannot be mounted in a cage: it is masked, as in an ordinary container (${detail})`;
  if (/namespace|unshare|clone|uid map|loopback|not permitted/i.test(said)) {
    const settings = await Promise.all(namespaceSettings.map(whyForbidden));
    const words =
      settings.find((found) => found !== null) ??
      'user namespaces are not allowed here, as under the seccomp filter of ordinary containers';
    return `${words} (${detail})`;
  }
  return detail;
}

async function whyForbidden(setting: Setting): Promise<string | null> {
  const value = await readFile(setting.file, 'utf8').catch(() => null);
  return value?.trim() === setting.forbids ? setting.words : null;
}
