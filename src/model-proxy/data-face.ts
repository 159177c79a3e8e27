// The routes that Codex reaches: the Responses call and the list of models. Everything else is a 404.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ModelProviderStatus } from '../contracts/model-grants.ts';
import type { Forwarder } from './forward.ts';
import { ModelRefusal, writeRefusal } from './refusal.ts';
import type { SharedGrants } from './shared-grants.ts';

export type DataFaceParts = {
  readonly forwarder: Forwarder;
  readonly grants: Pick<SharedGrants, 'checkCredential'>;
  readonly status: () => ModelProviderStatus;
};

export function createDataFace(parts: DataFaceParts): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    const path = (request.url ?? '').split('?', 1)[0];
    if (request.method === 'POST' && path === '/v1/responses') {
      void parts.forwarder.forward(request, response);
      return;
    }
    listModels(parts, request, response, path).catch((error: unknown) =>
      writeRefusal(response, error instanceof ModelRefusal ? error : new ModelRefusal('internal')),
    );
  };
}

async function listModels(
  { grants, status }: DataFaceParts,
  request: IncomingMessage,
  response: ServerResponse,
  path: string | undefined,
): Promise<void> {
  if (request.method !== 'GET' || path !== '/v1/models') throw new ModelRefusal('not_found');
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  await grants.checkCredential(request.headers.authorization, gone.signal);
  const { provider, models } = status();
  const data = models.map(({ id }) => ({ id, object: 'model', created: 0, owned_by: provider }));
  response.writeHead(200, { 'content-type': 'application/json' });
  // `models` is where Codex looks; an empty list leaves it with what it knows itself.
  response.end(JSON.stringify({ object: 'list', data, models: [] }));
}
