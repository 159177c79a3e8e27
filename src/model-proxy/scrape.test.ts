import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ScrapeCredential } from '../http/scrape-credential.ts';
import { controlCredential, runModelProxy } from '../testing/running-model-proxy.ts';

test("the credential for numbers reads the control face's /metrics; it gets no grant, no status and no model", async (t) => {
  const { baseUrl, controlUrl, stop } = await runModelProxy({
    provider: { kind: 'demo', baseUrl: null, apiKey: null, defaultModel: 'demo', models: [] },
    scrape: new ScrapeCredential('a-token-for-numbers'),
  });
  t.after(stop);
  const status = async (url: string, token: string, method = 'GET'): Promise<number> =>
    (await fetch(url, { method, headers: { authorization: `Bearer ${token}` } })).status;
  assert.equal(await status(`${controlUrl}/metrics`, 'a-token-for-numbers'), 200);
  assert.equal(await status(`${controlUrl}/metrics`, controlCredential), 200);
  assert.equal(await status(`${controlUrl}/metrics`, 'another-token-of-16'), 401);
  assert.equal(await status(`${controlUrl}/status`, 'a-token-for-numbers'), 401);
  assert.equal(await status(`${controlUrl}/grants`, 'a-token-for-numbers', 'POST'), 401);
  assert.equal(await status(`${baseUrl}/models`, 'a-token-for-numbers'), 401);
});
