// One more path for a connection that is up.
//
// Decides: what becomes of a path the application names late: its remote is resolved, its device looked up,
// and what cannot work is an error at once.
// Walk: api/socket asks, api/session adds what comes out.

import { checkDevices, type PathOption, PathPlan, type PathSpec, type PlannedPath } from './addresses.ts';
import { MptcpError } from './errors.ts';
import { resolveHost } from './resolve.ts';
import type { Session } from './session.ts';

/** Everything opening the path takes; rejects when there is no such path. */
export async function plannedPath(path: PathOption, session: Session): Promise<PlannedPath> {
  const { remote, ...rest } = path;
  let spec: PathSpec = rest;
  if (remote !== undefined) {
    const [{ address }] = await resolveHost({ host: remote.host });
    spec = { ...rest, remote: { address, port: remote.port } };
  }
  const { network, connection } = session;
  const addresses = network.addresses();
  if (network.tun === undefined) {
    checkDevices([path], addresses);
  } else {
    network.tun.place(path, network.tun.deviceOf(connection.local.address));
    network.interfaceFor(path.local);
  }
  const [planned] = new PathPlan([spec], connection.remote).paths(addresses);
  if (planned !== undefined) return planned;
  throw new MptcpError('ERR_MPTCP_NO_PATH', {
    sentence: `"${path.local}" has no address of the peer's family`,
    remedy: 'name an address of the same family as the remote one',
  });
}
