import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ScrapeCredential } from './scrape-credential.ts';

test('the one token is admitted, as a bearer, and no other', () => {
  const scrape = new ScrapeCredential('a-token-for-numbers');
  assert.equal(scrape.admits('Bearer a-token-for-numbers'), true);
  for (const header of [
    undefined,
    '',
    'Bearer',
    'Bearer another',
    'Basic a-token-for-numbers',
    'a-token-for-numbers',
  ]) {
    assert.equal(scrape.admits(header), false, header);
  }
});

test('where there is none, nobody is admitted by it', () => {
  const scrape = new ScrapeCredential(null);
  for (const header of [undefined, 'Bearer ', 'Bearer null']) assert.equal(scrape.admits(header), false, header);
});
