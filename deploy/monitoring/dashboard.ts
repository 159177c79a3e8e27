// One dashboard, told once: what is shown, in rows, from the question "is it well?" down to single parts. How it is
// drawn is for the renderers.

import { outside, processes, spend, stores } from './dashboard-parts.ts';
import { capacity, streamsAndRequests, turns, wellbeing } from './dashboard-turns.ts';
import type { Row } from './panel.ts';
import type { MonitoringSettings } from './settings.ts';

export type Dashboard = { readonly uid: string; readonly title: string; readonly rows: readonly Row[] };

export function fleetDashboard(settings: MonitoringSettings): Dashboard {
  return {
    uid: 'codex-fleet',
    title: 'Codex Fleet',
    rows: [
      wellbeing(settings),
      turns(),
      capacity(),
      streamsAndRequests(),
      stores(),
      processes(),
      outside(),
      spend(settings),
    ],
  };
}
