"""The validation module's rules, by subject: what holds of all that a call writes, whatever the contracts say."""
