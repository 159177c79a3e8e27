// The API's description: /openapi.json for programs, /docs for people.

import { openApiDocument } from '../../api/openapi.ts';
import { plainOperations } from '../../api/plain-operations.ts';
import type { HttpServer } from '../../http/server.ts';
import { docsPage } from '../docs-page.ts';
import type { Gear } from '../gateway-parts.ts';

export function registerDocs(gear: Gear, { app }: HttpServer): void {
  // Made when first asked for: a start need not wait for what nobody may read.
  const rendered = lazily(() => {
    const document = openApiDocument(gear.version);
    return { json: JSON.stringify(document), page: docsPage(document) };
  });
  const config = { isOpen: true, route: 'page' } as const;
  app.get(plainOperations.openapi.path, { config }, async (_request, reply) =>
    reply.header('content-type', 'application/json; charset=utf-8').send(rendered().json),
  );
  app.get(plainOperations.docs.path, { config }, async (_request, reply) => {
    const { html, contentPolicy } = rendered().page;
    return reply
      .header('content-type', 'text/html; charset=utf-8')
      .header('content-security-policy', contentPolicy)
      .send(html);
  });
}

function lazily<T>(make: () => T): () => T {
  let made: { readonly value: T } | null = null;
  return () => (made ??= { value: make() }).value;
}
