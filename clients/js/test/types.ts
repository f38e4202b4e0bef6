// Compiled, never run: the declarations and the code say the same.
import type { HubClient as Declared, HubError as DeclaredError, State } from '../types/index.js';
import { HubClient, HubError } from '../src/index.js';

const client: Declared = new HubClient({ baseUrl: 'https://example.com', pageSize: 20 });
const problem: DeclaredError = new HubError({ code: 'invalid', detail: 'No.' });
const state: State = client.getState();
const ids: number[] = state.items.map((row) => row.id);
void client.mark({ state: 'read', ids });
void client.mark({ state: 'read', upTo: 12, type: 'post_like' });
// @ts-expect-error - exactly one of ids and upTo
void client.mark({ state: 'read', ids, upTo: 12 });
// @ts-expect-error - not a state that a client may set
void client.mark({ state: 'expired', ids });
void problem;
