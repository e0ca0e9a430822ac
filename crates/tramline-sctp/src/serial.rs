//! Serial numbers that wrap (RFC 1982): TSNs of 32 bits, stream sequence numbers of 16.

/// Whether TSN `a` comes before `b`.
pub(crate) fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// Whether stream sequence number `a` comes before `b`.
pub(crate) fn ssn_before(a: u16, b: u16) -> bool {
    (a.wrapping_sub(b) as i16) < 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_survives_the_wrap() {
        assert!(before(u32::MAX, 0) && before(u32::MAX - 5, 7) && !before(0, u32::MAX) && !before(3, 3));
        assert!(ssn_before(u16::MAX, 0) && !ssn_before(0, u16::MAX) && !ssn_before(9, 9));
    }
}
