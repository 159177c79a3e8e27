// GET /docs: the OpenAPI document as one static page. It runs no script and asks nobody for anything.

import { createHash } from 'node:crypto';
import { DocumentReader, type Shape } from './document-reader.ts';

const style = `
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; --line: color-mix(in srgb, currentColor 20%, transparent); }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 3rem; border-bottom: 1px solid var(--line); }
code, pre { font-family: ui-monospace, monospace; font-size: 0.9em; }
pre { padding: 0.75rem; border: 1px solid var(--line); border-radius: 6px; overflow-x: auto; }
summary { cursor: pointer; padding: 0.35rem 0; }
details { border-bottom: 1px solid var(--line); }
details > div { padding: 0 0 1rem 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.25rem 0.75rem 0.25rem 0; border-top: 1px solid var(--line); }
.method { display: inline-block; min-width: 4.5rem; font-weight: 700; }
.quiet { opacity: 0.7; }
nav a { margin-right: 0.75rem; }
`;

export type Page = { readonly html: string; readonly contentPolicy: string };

export function docsPage(document: Readonly<Record<string, unknown>>): Page {
  const reader = new DocumentReader(document);
  const tags = reader.tags();
  const html = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>${escaped(reader.title)}: the API</title>
<style>${style}</style>
<h1>${escaped(reader.title)}: the API</h1>
<p class="quiet">Version ${escaped(reader.version)} · <a href="/openapi.json">openapi.json</a> · <a href="/">home</a></p>
${reader.description.split('\n\n').map(paragraph).join('\n')}
<nav>${tags.map((tag) => `<a href="#${escaped(tag)}">${escaped(tag)}</a>`).join('')}<a href="#schemas">schemas</a></nav>
${tags.map((tag) => `<h2 id="${escaped(tag)}">${escaped(tag)}</h2>\n${reader.operations(tag).map(operationHtml).join('\n')}`).join('\n')}
<h2 id="schemas">schemas</h2>
${reader.schemas().map(schemaHtml).join('\n')}
</html>
`;
  const hash = createHash('sha256').update(style).digest('base64');
  return {
    html,
    contentPolicy: `default-src 'none'; style-src 'sha256-${hash}'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  };
}

function operationHtml(operation: ReturnType<DocumentReader['operations']>[number]): string {
  const { id, method, path, summary, description, parameters, body, responses, curl } = operation;
  const rows = parameters.map(
    ({ name, place, isRequired, type, doc }) =>
      `<tr><td><code>${escaped(name)}</code></td><td>${place}${isRequired ? ', required' : ''}</td><td>${typeHtml(type)}</td><td>${words(doc)}</td></tr>`,
  );
  return `<details id="${escaped(id)}"><summary><span class="method">${method}</span><code>${escaped(path)}</code> <span class="quiet">${words(summary)}</span></summary><div>
${description === '' ? '' : paragraph(description)}
${rows.length === 0 ? '' : `<table><tr><th>parameter</th><th>where</th><th>type</th><th></th></tr>${rows.join('')}</table>`}
${body === null ? '' : `<p>Body: ${typeHtml(body)}</p>`}
<table><tr><th>status</th><th>body</th><th></th></tr>${responses
    .map(
      (response) =>
        `<tr><td>${escaped(response.status)}</td><td>${response.types.map(typeHtml).join('<br>')}</td><td>${response.description.split('\n\n').map(words).join('<br>')}</td></tr>`,
    )
    .join('')}</table>
${curl === null ? '' : `<pre>${escaped(curl)}</pre>`}
</div></details>`;
}

function schemaHtml({ name, description, type, fields }: Shape): string {
  const rows = fields.map(
    (field) =>
      `<tr><td><code>${escaped(field.name)}</code>${field.isRequired ? '' : ' <span class="quiet">optional</span>'}</td><td>${typeHtml(field.type)}</td><td>${words(field.doc)}</td></tr>`,
  );
  return `<details id="schema-${escaped(name)}"><summary><code>${escaped(name)}</code></summary><div>
${description === '' ? '' : paragraph(description)}
${rows.length === 0 ? `<p>${typeHtml(type)}</p>` : `<table><tr><th>field</th><th>type</th><th></th></tr>${rows.join('')}</table>`}
</div></details>`;
}

/** Names of schemas, written as «Name» by the reader, become links. */
function typeHtml(type: string): string {
  return escaped(type).replaceAll(/«([\w.-]+)»/g, '<a href="#schema-$1">$1</a>');
}

function paragraph(text: string): string {
  return `<p>${words(text)}</p>`;
}

function words(text: string): string {
  return escaped(text).replaceAll(/`([^`]+)`/g, '<code>$1</code>');
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
