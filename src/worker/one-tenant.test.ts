import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isServiceError } from '../core/errors.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { OneTenant } from './one-tenant.ts';

const reserved = (error: unknown): boolean => isServiceError(error, 'worker_reserved');

function begin(waiting: readonly string[] = []) {
  const clock = new FakeClock();
  const told: string[] = [];
  const oneTenant = new OneTenant({
    clock,
    waiting,
    knownAfterMs: 3_000,
    onTaken: () => told.push('taken'),
    onWanted: () => told.push('wanted'),
  });
  return { clock, told, oneTenant };
}

test('the first tenant decides, and is told of at once; it is admitted as often as it asks', () => {
  const { oneTenant, told } = begin();
  assert.equal(oneTenant.reservedFor, null);
  oneTenant.admit('ana');
  oneTenant.admit('ana');
  assert.deepEqual([oneTenant.reservedFor, told], ['ana', ['taken']]);
});

test('another tenant is refused; once it must have known and asks all the same, the worker is wanted, once', () => {
  const { clock, oneTenant, told } = begin();
  oneTenant.admit('ana');
  assert.throws(() => oneTenant.admit('bob'), reserved);
  clock.advance(2_999);
  assert.throws(() => oneTenant.admit('bob'), reserved);
  assert.deepEqual(told, ['taken']);
  clock.advance(1);
  assert.throws(() => oneTenant.admit('bob'), reserved);
  assert.throws(() => oneTenant.admit('cleo'), reserved);
  assert.deepEqual(told, ['taken', 'wanted']);
  assert.deepEqual(oneTenant.waiting, ['bob', 'cleo']);
  oneTenant.admit('ana');
});

test('the next life is kept for who waited longest, and the others keep their place in the order', () => {
  const { oneTenant, told } = begin(['bob', 'cleo']);
  assert.equal(oneTenant.reservedFor, 'bob');
  assert.throws(() => oneTenant.admit('ana'), reserved);
  assert.deepEqual(told, []);
  oneTenant.admit('bob');
  assert.deepEqual([oneTenant.reservedFor, oneTenant.waiting], ['bob', ['cleo', 'ana']]);
});

test('who waited and does not come is passed over, and in the end anybody may take it', () => {
  const { clock, oneTenant } = begin(['bob', 'cleo']);
  // As long as nobody can find it, nobody is late.
  clock.advance(60_000);
  assert.equal(oneTenant.reservedFor, 'bob');
  oneTenant.open();
  clock.advance(20_000);
  assert.equal(oneTenant.reservedFor, 'cleo');
  assert.throws(() => oneTenant.admit('ana'), reserved);
  clock.advance(40_000);
  // Ana has asked meanwhile: she is who is waited for now, and then nobody.
  assert.equal(oneTenant.reservedFor, null);
  oneTenant.admit('dan');
  assert.deepEqual(oneTenant.waiting, []);
});

test('three tenants that never stop asking are served in turn, life after life', () => {
  const served: string[] = [];
  let waiting: readonly string[] = [];
  for (let life = 0; life < 9; life++) {
    const { clock, oneTenant, told } = begin(waiting);
    // Always in the same order: the names that come first must not win by that.
    const ask = (): void => {
      for (const tenant of ['ana', 'bob', 'cleo']) {
        try {
          oneTenant.admit(tenant);
        } catch (error) {
          assert.ok(reserved(error));
        }
      }
    };
    ask();
    served.push(oneTenant.reservedFor ?? 'nobody');
    clock.advance(3_000);
    ask();
    assert.ok(told.includes('wanted'));
    waiting = oneTenant.waiting;
  }
  assert.deepEqual(served, ['ana', 'bob', 'cleo', 'ana', 'bob', 'cleo', 'ana', 'bob', 'cleo']);
});
