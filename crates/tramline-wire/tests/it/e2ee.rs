//! The `e2ee` section of the vectors: keys and ciphertext are computed with another library and carried through
//! packets, so that extension and payload are known to hold what a decrypting receiver needs.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, pbkdf2};
use serde::Deserialize;
use tramline_wire::{E2eeExtension, Extensions, Header, Marker, Packet, TrackHandle};

use crate::vectors::{load, unhex};

#[derive(Deserialize)]
pub(crate) struct Section {
    salt_utf8: String,
    iv: String,
    plaintext_utf8: String,
    cases: Vec<Case>,
    empty_plaintext_tag_pbkdf2_12345: String,
    encrypted_packet: EncryptedPacket,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    kdf: String,
    key_input_utf8: Option<String>,
    key_input_hex: Option<String>,
    derived_key_128: String,
    chain_key_after_one_ratchet_256: String,
    derived_key_128_after_ratchet: String,
    ciphertext_and_tag: String,
}

#[derive(Deserialize)]
struct EncryptedPacket {
    encrypted_packet_payload_hex: String,
    encrypted_value_with_pbkdf2_12345: String,
}

impl Section {
    fn iv(&self) -> [u8; 12] {
        unhex(&self.iv).try_into().expect("12 bytes")
    }

    fn case(&self, name: &str) -> &Case {
        self.cases.iter().find(|case| case.name == name).expect("a case of the section")
    }
}

#[test]
fn keys_and_ratcheted_keys_are_derived_as_in_the_vectors() {
    let section = load().e2ee;
    assert_eq!(section.cases.len(), 3);
    for case in &section.cases {
        let input = match (&case.key_input_utf8, &case.key_input_hex) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(hex)) => unhex(hex),
            _ => panic!("{}: one key input is needed", case.name),
        };
        let salt = section.salt_utf8.as_bytes();
        let next = derive::<32>(&case.kdf, &input, salt);
        assert_eq!(derive::<16>(&case.kdf, &input, salt)[..], unhex(&case.derived_key_128), "{}", case.name);
        assert_eq!(next[..], unhex(&case.chain_key_after_one_ratchet_256), "{}", case.name);
        let ratcheted = derive::<16>(&case.kdf, &next, salt);
        assert_eq!(ratcheted[..], unhex(&case.derived_key_128_after_ratchet), "{}", case.name);
    }
}

#[test]
fn an_encrypted_frame_is_decrypted_from_what_its_packet_says() {
    let section = load().e2ee;
    for (slot, case) in (0..).zip(&section.cases) {
        let e2ee = Some(E2eeExtension { key_index: slot, iv: section.iv() });
        let sent = Header {
            marker: Marker::Single,
            handle: TrackHandle::FIRST,
            sequence: 0,
            frame_number: 0,
            timestamp: 0,
            extensions: Extensions { e2ee, user_timestamp: None },
        };
        let payload = unhex(&case.ciphertext_and_tag);
        let sent = Packet { header: sent, payload: &payload };
        let mut wire = vec![0; sent.encoded_len()];
        sent.encode(&mut wire).expect("the buffer has the length that was asked for");
        assert_eq!(wire.len(), 32 + section.plaintext_utf8.len() + 16, "header, ciphertext, tag");

        let received = Packet::parse(&wire).expect("a good packet");
        let extension = received.header.extensions.e2ee.expect("it was sent");
        assert_eq!(extension.key_index, slot);
        let plaintext = open(&unhex(&case.derived_key_128), extension.iv, received.payload);
        assert_eq!(plaintext.as_deref(), Some(section.plaintext_utf8.as_bytes()), "{}", case.name);

        let mut damaged = received.payload.to_vec();
        *damaged.last_mut().expect("there is a tag") ^= 1;
        assert_eq!(open(&unhex(&case.derived_key_128), extension.iv, &damaged), None, "{}", case.name);
    }
}

#[test]
fn empty_plaintext_and_data_packets_are_encrypted_as_in_the_vectors() {
    let section = load().e2ee;
    let key = unhex(&section.case("pbkdf2_passphrase_12345").derived_key_128);
    assert_eq!(seal(&key, section.iv(), b""), unhex(&section.empty_plaintext_tag_pbkdf2_12345));
    let EncryptedPacket { encrypted_packet_payload_hex, encrypted_value_with_pbkdf2_12345 } =
        &section.encrypted_packet;
    assert_eq!(
        seal(&key, section.iv(), &unhex(encrypted_packet_payload_hex)),
        unhex(encrypted_value_with_pbkdf2_12345)
    );
}

fn derive<const LEN: usize>(kdf: &str, input: &[u8], salt: &[u8]) -> [u8; LEN] {
    let mut out = [0; LEN];
    if kdf.starts_with("PBKDF2") {
        let rounds = 100_000.try_into().expect("not zero");
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, input, &mut out);
    } else {
        assert!(kdf.starts_with("HKDF"), "unknown derivation {kdf}");
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(input);
        let info = [[0; 128].as_slice()];
        let okm = secret.expand(&info, Length(LEN)).expect("a short output");
        okm.fill(&mut out).expect("the length that was asked for");
    }
    out
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn cipher(key: &[u8]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key).expect("a key of 16 bytes"))
}

fn seal(key: &[u8], iv: [u8; 12], plaintext: &[u8]) -> Vec<u8> {
    let mut text = plaintext.to_vec();
    let nonce = Nonce::assume_unique_for_key(iv);
    cipher(key).seal_in_place_append_tag(nonce, Aad::empty(), &mut text).expect("a short plaintext");
    text
}

fn open(key: &[u8], iv: [u8; 12], ciphertext: &[u8]) -> Option<Vec<u8>> {
    let mut text = ciphertext.to_vec();
    let nonce = Nonce::assume_unique_for_key(iv);
    let plaintext = cipher(key).open_in_place(nonce, Aad::empty(), &mut text).ok()?;
    Some(plaintext.to_vec())
}
