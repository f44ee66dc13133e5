// Says in plain words which step of a call failed and what to do about it.

/** What a TURN server's error code means to whoever runs it. */
const CODES = {
  300: 'The relay sends its clients to another one (300), which this page does not follow.',
  400: 'The relay could not make sense of the request (400).',
  401: 'The relay does not accept the credential (401): it has expired, or was minted with another secret. Restart the demo to mint a new one.',
  403: 'The relay\'s policy forbids it (403).',
  420: 'The relay does not know an attribute that this browser insists on (420).',
  437: 'The relay has another allocation for this address and port (437). Call again in a moment.',
  438: 'The relay says that its nonce is stale (438), and this browser does not try again.',
  440: 'The relay has no address of the family that this browser asks for (440): give it one (`--public-ip4-addr`, `--public-ip6-addr`), or start it with `--default-address-family client`.',
  441: 'The credential is not the one that the allocation was made with (441).',
  442: 'The relay does not relay the transport that was asked for (442): it relays UDP.',
  486: 'This user has as many allocations as the relay allows (486). Hang up other calls, or raise `--allocations-per-username`. What was left behind ends after ten minutes.',
  500: 'The relay met an error of its own (500): see its log.',
  508: 'The relay has no port left, or is about to stop (508).',
  701: 'The relay does not answer (701): it is not running, or UDP to its port is blocked on the way, by a firewall for instance.',
};

/** No relay candidate was found. `errors` are the browser's `icecandidateerror` events. */
export function noCandidate(errors) {
  const codes = [...new Set(errors.map((error) => error.errorCode))];
  // An answer says more than silence does.
  const code = codes.find((one) => one !== 701) ?? codes[0];
  const text = CODES[code] ?? (code ? `The relay answered ${code} ${errors.find((error) => error.errorCode === code).errorText}.` : null);
  return {
    title: 'No relay candidate: the relay granted no allocation.',
    text: text ?? 'The browser says no reason. Look for errors in what the relay counts, below. Firefox gathers nothing on a machine without a default route; Chromium nothing on loopback, unless started with `--allow-loopback-in-peer-connection`.',
  };
}

/** Candidates, but no pair of them works. `grown` tells how much a counter of the relay has grown since the call began. */
export function noPath(grown, pair) {
  const title = 'The connectivity checks failed: neither peer hears the other through the relay.';
  const sends = grown('dropped_datagrams_total{reason="send_indication"}');
  if (sends > 0) {
    return { title, text: `The relay dropped ${sends} Send indications. Browsers check every path with them, so indications are off in this relay: start it with \`--indications on\`.` };
  }
  const refused = grown('responses_total', ['create_permission', 'error']) + grown('responses_total', ['channel_bind', 'error']);
  if (refused > 0) {
    return { title, text: `The relay refused ${refused} requests for a permission or a channel. Its policy may forbid the peer's address (${pair}).` };
  }
  const unknown = grown('dropped_datagrams_total{reason="unknown_peer"}') + grown('dropped_datagrams_total{reason="no_permission"}');
  if (unknown > 0) {
    return { title, text: `The relay dropped ${unknown} datagrams that came from addresses without a permission. Behind a NAT, the peers' packets come from an address other than the relayed one: check \`--public-ip4-addr\`.` };
  }
  return { title, text: `The relay took the checks, but they did not arrive. Each peer's data goes to the other's relayed address (${pair}): this machine must reach it, so look at firewalls, and at hairpinning if it is the address of a NAT.` };
}

export const noEncryption = () => ({
  title: 'The path works, but the peers could not agree on encryption (DTLS).',
  text: 'Small packets pass and larger ones may not: look for a small MTU between browser and relay, and for drops in what the relay counts.',
});

export const noMessages = () => ({
  title: 'The peers are connected, but messages do not come back.',
  text: 'Look for drops in what the relay counts, below.',
});

export const noVideo = () => ({
  title: 'Messages pass, but no picture arrives.',
  text: 'The browser may lack a codec, or large packets are lost: look for drops in what the relay counts, below.',
});

export const noDemo = () => ({
  title: 'The demo\'s server does not answer.',
  text: 'It has probably ended: start `cargo xtask webrtc-demo` again and reload this page.',
});
