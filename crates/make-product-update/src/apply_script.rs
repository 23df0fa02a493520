//! `apply-update.sh`: the same in every update. What it does is in the files that it is put
//! together of, one after the other.

/// Its text.
pub(crate) const APPLY_SCRIPT: &str = concat!(
    include_str!("apply/apply-update.sh"),
    include_str!("apply/update.sh"),
    include_str!("apply/paths.sh"),
    include_str!("apply/old.sh"),
    include_str!("apply/own_files.sh"),
    include_str!("apply/copy.sh"),
    include_str!("apply/compare.sh"),
    include_str!("apply/swap.sh"),
    include_str!("apply/main.sh"),
);
