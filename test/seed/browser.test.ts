import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import type { EventOnWire } from '../../src/api/events.ts';
import { isTerminalEventType } from '../../src/core/event.ts';
import { assertWholeTurn } from '../e2e/event-checks.ts';
import { eventually } from '../e2e/eventually.ts';
import { useFleet } from '../e2e/use-fleet.ts';
import { chromiumHint, findChromium, launchChromium } from './chromium.ts';
import { javascriptFor } from './snippets.ts';

const executable = findChromium();
const skip = executable === null ? chromiumHint : false;

/** Two sites of somebody's own, of which the fleet allows one. */
const sites: Server[] = [];
const origin = (index: number): string => `http://127.0.0.1:${(sites[index]!.address() as AddressInfo).port}`;
let browser: Browser | null = null;

const fleet = useFleet(async () => {
  for (let count = 0; count < 2; count += 1) {
    const site = createServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>A site</title>');
    });
    await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
    sites.push(site);
  }
  if (executable !== null) browser = await launchChromium(executable);
  return { args: ['--allowed-origins', origin(0)] };
});
after(async () => {
  await browser?.close();
  for (const site of sites) {
    site.closeAllConnections();
    site.close();
  }
});

test("the JavaScript runs in a browser as printed, on a page of an allowed origin, and logs the turn's progress [seed-websocket]", {
  skip,
}, async () => {
  await withPage(async (page) => {
    await page.goto(origin(0));
    await runSnippet(page);
  });
});

test("and on the fleet's own page [seed-websocket]", { skip }, async () => {
  await withPage(async (page) => {
    const response = await page.goto(fleet().client.url);
    assert.equal(response?.status(), 200);
    assert.match(await page.title(), /\S/);
    await runSnippet(page);
  });
});

test('a page of any other origin gets no socket, and no answer to a fetch [seed-websocket]', { skip }, async () => {
  await withPage(async (page) => {
    const { url, token } = fleet().client;
    const attempts = `(async () => {
      const socket = new WebSocket(${JSON.stringify(`${url.replace('http', 'ws')}/ws`)}, ['codex-fleet', ${JSON.stringify(`bearer.${token}`)}]);
      const opened = await new Promise((resolve) => { socket.onopen = () => resolve(true); socket.onerror = () => resolve(false); });
      socket.close();
      const fetched = await fetch(${JSON.stringify(`${url}/api/v1/sessions`)}, { headers: { authorization: ${JSON.stringify(`Bearer ${token}`)} } })
        .then((response) => response.status, () => 'refused');
      return [opened, fetched];
    })()`;
    await page.goto(origin(1));
    assert.deepEqual(await page.evaluate(attempts), [false, 'refused']);
    await page.goto(origin(0));
    assert.deepEqual(await page.evaluate(attempts), [true, 200], 'the control: the allowed origin gets both');
  });
});

async function withPage(use: (page: Page) => Promise<void>): Promise<void> {
  assert.ok(browser !== null);
  const page = await browser.newPage();
  try {
    await use(page);
  } finally {
    await page.close();
  }
}

async function runSnippet(page: Page): Promise<void> {
  const seen: EventOnWire[] = [];
  const said: string[] = [];
  page.on('console', (message) => {
    said.push(message.text());
    if (!message.text().startsWith('Progress:')) return;
    message
      .args()[1]
      ?.jsonValue()
      .then(
        (data) => seen.push(data as EventOnWire),
        (error: unknown) => said.push(String(error)),
      );
  });
  // As pasted into the console: a page's own policy may forbid the scripts of others, and ours does.
  const console = await page.context().newCDPSession(page);
  await console.send('Runtime.evaluate', { expression: javascriptFor(fleet().client) });
  await eventually('the turn ends', 20_000, () => seen.some(({ type }) => isTerminalEventType(type))).catch(() =>
    assert.fail(`the page said:\n${said.join('\n')}`),
  );
  const events = seen.filter((data) => typeof data.seq === 'number');
  const place = events.at(-1);
  assert.ok(place?.turn_id);
  const inOrder = [...events].sort((a, b) => a.seq - b.seq);
  assertWholeTurn(inOrder, { sessionId: place.session_id, turnId: inOrder.at(-1)?.turn_id ?? '' });
}
