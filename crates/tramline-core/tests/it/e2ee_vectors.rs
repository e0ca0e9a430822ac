//! The encryption vectors, made with LiveKit's browser library and recomputed by others.

use bytes::Bytes;
use serde_json::Value;
use tramline_core::e2ee::{
    DEFAULT_RATCHET_SALT, Decryptor, Derivation, Encryptor, Event, KeyDerivation, KeyOptions, KeyProvider,
};
use tramline_wire::E2eeExtension;

const VECTORS: &str = include_str!("../../../tramline-wire/tests/packet_vectors.json");

#[test]
fn keys_ratchets_and_ciphertexts_are_those_of_other_clients() {
    let vectors = vectors();
    let plaintext = text(&vectors["plaintext_utf8"]).as_bytes();
    assert_eq!(DEFAULT_RATCHET_SALT, text(&vectors["salt_utf8"]).as_bytes());
    let cases = vectors["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 3);
    for case in cases {
        let name = text(&case["name"]);
        let keys = provider(case);
        keys.set_shared_key(&key_input(case), 0).expect("not empty");
        assert_eq!(keys.shared_key(0), Some(key_input(case)), "{name}");

        let sealed = sender(&keys, &vectors).seal(plaintext).expect("has a key");
        assert_eq!(sealed.payload, hex(&case["ciphertext_and_tag"]), "{name}");
        let mut receiver = Decryptor::new(keys.clone(), "sender");
        let opened = receiver.open(sealed.e2ee, sealed.payload);
        assert_eq!(opened.as_deref(), Ok(plaintext), "{name}");

        let next = hex(&case["chain_key_after_one_ratchet_256"]);
        assert_eq!(keys.ratchet_shared_key(0), Some(next.clone()), "{name}");
        assert_eq!(keys.shared_key(0), Some(next), "{name}");
    }
}

/// The vectors give the AES keys as such. A ciphertext that a receiver made of the same key decrypts to something else
/// than garbage only if the derived keys are those, so a plain AES-GCM implementation is the judge.
#[test]
fn derived_keys_are_those_of_other_clients_before_and_after_a_ratchet() {
    use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    let vectors = vectors();
    for case in vectors["cases"].as_array().expect("cases") {
        let keys = provider(case);
        keys.set_shared_key(&key_input(case), 0).expect("not empty");
        for field in ["derived_key_128", "derived_key_128_after_ratchet"] {
            let sealed = sender(&keys, &vectors).seal(b"anything").expect("has a key");
            let key = UnboundKey::new(&AES_128_GCM, &hex(&case[field])).expect("16 bytes");
            let mut bytes = sealed.payload.to_vec();
            let nonce = Nonce::assume_unique_for_key(sealed.e2ee.iv);
            let opened = LessSafeKey::new(key).open_in_place(nonce, Aad::empty(), &mut bytes);
            assert_eq!(
                opened.map(|opened| &*opened),
                Ok(&b"anything"[..]),
                "{} {field}",
                text(&case["name"])
            );
            keys.ratchet_shared_key(0);
        }
    }
}

#[test]
fn an_empty_plaintext_is_its_tag_and_a_packet_payload_encrypts_as_elsewhere() {
    let vectors = vectors();
    let keys = KeyProvider::new(KeyOptions::default());
    keys.set_shared_key(b"12345", 0).expect("not empty");
    let sealed = sender(&keys, &vectors).seal(b"").expect("has a key");
    assert_eq!(sealed.payload, hex(&vectors["empty_plaintext_tag_pbkdf2_12345"]));
    let mut receiver = Decryptor::new(keys.clone(), "sender");
    assert_eq!(receiver.open(sealed.e2ee, sealed.payload), Ok(Bytes::new()));

    let packet = &vectors["encrypted_packet"];
    let sealed = sender(&keys, &vectors).seal(&hex(&packet["encrypted_packet_payload_hex"]));
    assert_eq!(sealed.expect("has a key").payload, hex(&packet["encrypted_value_with_pbkdf2_12345"]));
}

#[test]
fn a_receiver_with_a_window_follows_the_ratchet_of_the_vectors() {
    let vectors = vectors();
    let case = &vectors["cases"][1];
    let options = KeyOptions::default().with_derivation(KeyDerivation::Hkdf);
    let (sending, receiving) =
        (KeyProvider::new(options.clone()), KeyProvider::new(options.with_ratchet_window(1)));
    for keys in [&sending, &receiving] {
        keys.set_shared_key(&key_input(case), 0).expect("not empty");
    }
    sending.ratchet_shared_key(0);
    let sealed = sender(&sending, &vectors).seal(b"later").expect("has a key");
    let mut receiver = Decryptor::new(receiving, "sender");
    assert!(receiver.open(sealed.e2ee, sealed.payload.clone()).is_err(), "nothing is derived on the way");
    receiver.poll_derivation().map(Derivation::run).expect("asks for the next key");
    assert_eq!(receiver.open(sealed.e2ee, sealed.payload).as_deref(), Ok(&b"later"[..]));
    assert_eq!(
        receiver.poll_event(),
        Some(Event::Ratcheted { identity: "sender".into(), index: 0, steps: 1 })
    );
}

fn vectors() -> Value {
    let vectors: Value = serde_json::from_str(VECTORS).expect("the vectors are JSON");
    vectors["e2ee"].clone()
}

fn provider(case: &Value) -> KeyProvider {
    let derivation = match text(&case["kdf"]) {
        kdf if kdf.starts_with("PBKDF2") => KeyDerivation::Pbkdf2,
        kdf if kdf.starts_with("HKDF") => KeyDerivation::Hkdf,
        kdf => panic!("unknown derivation {kdf}"),
    };
    KeyProvider::new(KeyOptions::default().with_derivation(derivation))
}

fn key_input(case: &Value) -> Vec<u8> {
    match case.get("key_input_utf8") {
        Some(passphrase) => text(passphrase).into(),
        None => hex(&case["key_input_hex"]),
    }
}

/// A sender whose first IV is that of the vectors.
fn sender(keys: &KeyProvider, vectors: &Value) -> Encryptor {
    let iv: [u8; 12] = hex(&vectors["iv"]).try_into().expect("12 bytes");
    let encryptor = Encryptor::new(keys.clone(), "sender", iv);
    let probe = Encryptor::new(keys.clone(), "sender", iv).seal(b"").expect("has a key");
    assert_eq!(probe.e2ee, E2eeExtension { key_index: 0, iv });
    encryptor
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

fn hex(value: &Value) -> Vec<u8> {
    let digits = text(value);
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex")).collect()
}
