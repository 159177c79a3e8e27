// The routes that Codex reaches: the Responses call and the list of models. Everything else is a 404.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ModelProviderStatus } from '../contracts/model-grants.ts';
import type { Forwarder } from './forward.ts';
import type { GrantTable } from './grants.ts';
import { ModelRefusal, writeRefusal } from './refusal.ts';

export type DataFaceParts = {
  readonly forwarder: Forwarder;
  readonly grants: GrantTable;
  readonly status: () => ModelProviderStatus;
};

export function createDataFace(parts: DataFaceParts): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    const path = (request.url ?? '').split('?', 1)[0];
    if (request.method === 'POST' && path === '/v1/responses') {
      void parts.forwarder.forward(request, response);
      return;
    }
    try {
      if (request.method !== 'GET' || path !== '/v1/models') throw new ModelRefusal('not_found');
      parts.grants.checkCredential(request.headers.authorization);
      const { provider, models } = parts.status();
      const data = models.map(({ id }) => ({ id, object: 'model', created: 0, owned_by: provider }));
      response.writeHead(200, { 'content-type': 'application/json' });
      // `models` is where Codex looks; an empty list leaves it with what it knows itself.
      response.end(JSON.stringify({ object: 'list', data, models: [] }));
    } catch (error) {
      writeRefusal(response, error instanceof ModelRefusal ? error : new ModelRefusal('internal'));
    }
  };
}
