// Short ways to ask a gateway of the fixture, as one tenant or the other.

import { jsonOf, otherTenantToken, token, type GatewayFixture, type Json } from './gateway-fixture.ts';

export type Asked = { readonly status: number; readonly body: Json; readonly headers: Headers };
export type Ask = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Readonly<Record<string, string>>,
) => Promise<Asked>;

export function askerOf(fleet: Pick<GatewayFixture, 'url'>, who: 'tenant' | 'stranger' = 'tenant'): Ask {
  const authorization = `Bearer ${who === 'tenant' ? token : otherTenantToken}`;
  return async (method, path, body, headers = {}) => {
    const response = await fetch(`${fleet.url}/api/v1${path}`, {
      method,
      headers: { authorization, ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    return { status: response.status, body: await jsonOf(response), headers: response.headers };
  };
}

/** Status, code and the fields that were named: what a refusal is about. */
export function refusalOf({ body, status }: Asked): unknown[] {
  const errors = (body['errors'] ?? []) as { readonly field: string }[];
  return [status, body['code'], ...errors.map(({ field }) => field)];
}

export function idsOf({ body }: Asked): unknown[] {
  return (body['data'] as { readonly id: string }[]).map(({ id }) => id);
}
