// The one file that knows how fastify and Node's HTTP parser name what a client did wrong.

import { ServiceError } from '../core/errors.ts';

type Coded = { readonly code: string; readonly statusCode: number | null };

function codedOf(error: unknown): Coded | null {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return null;
  const statusCode = 'statusCode' in error && typeof error.statusCode === 'number' ? error.statusCode : null;
  return { code: error.code, statusCode };
}

/** An error that fastify raised before a handler ran; anything else comes back as it is. */
export function translateFrameworkError(error: unknown, bodyLimitBytes: number | null): unknown {
  const coded = codedOf(error);
  if (error instanceof ServiceError || coded === null) return error;
  switch (coded.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new ServiceError('payload_too_large', bodyLimitBytes === null ? {} : { limit_bytes: bodyLimitBytes });
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
    case 'FST_ERR_CTP_INVALID_TYPE':
      return new ServiceError('unsupported_media_type');
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return new ServiceError('invalid_request', {}, { message: 'Content-Length does not match the body.' });
    case 'FST_ERR_CTP_INVALID_JSON_BODY':
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
      return new ServiceError('invalid_json');
    case 'FST_ERR_BAD_URL':
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return new ServiceError(
        'invalid_request',
        {},
        { message: 'The path is not valid: a part of it is too long or badly escaped.' },
      );
    // The client went away while its body was read; nobody will see the answer.
    case 'ECONNRESET':
    case 'ECONNABORTED':
      return new ServiceError('invalid_request', {}, { message: 'The connection ended before the request did.' });
    default:
      return coded.code.startsWith('FST_') && coded.statusCode !== null && coded.statusCode < 500
        ? new ServiceError('invalid_request', {}, { cause: error })
        : error;
  }
}

/** What Node's parser made of bytes that are no request. */
export function translateParserError(error: unknown): ServiceError {
  switch (codedOf(error)?.code) {
    case 'HPE_HEADER_OVERFLOW':
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new ServiceError('headers_too_large');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new ServiceError('request_timeout');
    default:
      return new ServiceError('invalid_request', {}, { message: 'This is not an HTTP/1.1 request.' });
  }
}
