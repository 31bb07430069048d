"""The state database: what people and programs query. Brought up behind the commit store, never on its path."""
