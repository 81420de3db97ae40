// The public face of the room: what the command may import from emulator.
// Who emulates networks also describes them: the model's options and its table of networks pass through.

export {
  LINK_PROFILES,
  type LinkProfile,
  type LinkProfileName,
  type PathOptions,
} from '../netmodel/index.ts';
export { startTranslator, type Translator, type TranslatorOptions } from './tun-translator.ts';
export {
  type Relay,
  type RelayDirectionStats,
  type RelayOptions,
  type RelayPathOptions,
  type RelayPathStats,
  start as startRelay,
} from './udp-relay.ts';
