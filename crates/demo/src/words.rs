//! The word list all names are made of. Trees, herbs and made-up places: nobody is called so, and
//! `example.org` and its sisters belong to no company.

/// First names.
pub(crate) const GIVEN: &[&str] = &[
    "Alder",
    "Anisea",
    "Aspena",
    "Balmor",
    "Barberis",
    "Betony",
    "Birchel",
    "Bracken",
    "Brambel",
    "Burdock",
    "Calendo",
    "Campion",
    "Caraway",
    "Cedrin",
    "Chervil",
    "Cicely",
    "Clovera",
    "Comfrey",
    "Corydal",
    "Cypressa",
    "Dittany",
    "Elderin",
    "Fennelia",
    "Feverfew",
    "Figwort",
    "Foxglen",
    "Gentiane",
    "Gorsel",
    "Hawthora",
    "Hazelin",
    "Heatheris",
    "Hollyn",
    "Hyssop",
    "Juniperin",
    "Larchen",
    "Lavendel",
    "Lindenor",
    "Lovage",
    "Lupinia",
    "Madder",
    "Mallow",
    "Maplen",
    "Marjorin",
    "Medlar",
    "Meliss",
    "Milfoil",
    "Mulberin",
    "Mulleina",
    "Myrtis",
    "Nettlis",
    "Oakenel",
    "Orpine",
    "Oxlip",
    "Pimpern",
    "Poplarin",
    "Quince",
    "Ramson",
    "Rosehip",
    "Rowanel",
    "Rushen",
    "Saffrin",
    "Sagera",
    "Samphire",
    "Savoria",
    "Sedgewin",
    "Sorrel",
    "Speedwel",
    "Sprucen",
    "Sweetgal",
    "Tamarisk",
    "Tansy",
    "Teaselin",
    "Thymera",
    "Tormentil",
    "Valeriane",
    "Vervain",
    "Willowin",
    "Woodruff",
    "Yarrowen",
    "Yewlin",
];

/// Family names: two halves.
pub(crate) const FAMILY_START: &[&str] = &[
    "Amber", "Ash", "Bell", "Brindle", "Bright", "Candle", "Cinder", "Copper", "Dapple", "Dusk",
    "Ember", "Fallow", "Feather", "Fern", "Frost", "Glass", "Glimmer", "Hollow", "Iron", "Lantern",
    "Loam", "Marble", "Meadow", "Mist", "Moss", "Pebble", "Quill", "Rain", "Reed", "River", "Salt",
    "Silver", "Slate", "Thistle", "Timber", "Umber", "Velvet", "Wander", "Weather", "Winter",
];

/// The second half of a family name.
pub(crate) const FAMILY_END: &[&str] = &[
    "barrow", "beck", "bourn", "brook", "combe", "crest", "croft", "dale", "dell", "fell", "field",
    "ford", "garth", "gate", "glade", "grove", "haven", "heath", "holm", "lea", "loft", "marsh",
    "mere", "moor", "nook", "ridge", "shaw", "stead", "thorpe", "wick",
];

/// What people call their devices.
pub(crate) const NICKNAMES: &[&str] = &[
    "front door",
    "back door",
    "garage",
    "garden shed",
    "hallway",
    "kitchen window",
    "nursery",
    "attic",
    "porch",
    "cat flap",
    "bookshelf",
    "workbench",
    "aquarium",
    "balcony",
    "stairwell",
    "laundry",
    "greenhouse",
    "guest room",
    "desk lamp",
    "bird feeder",
];

/// First part of a WiFi network's name.
pub(crate) const NETWORK_START: &[&str] = &[
    "Burrow",
    "Lighthouse",
    "Teapot",
    "Beehive",
    "Windmill",
    "Pancake",
    "Marmot",
    "Comet",
    "Harbour",
    "Acorn",
];

/// Second part of a WiFi network's name.
pub(crate) const NETWORK_END: &[&str] = &["Net", "Home", "WLAN", "5G", "Upstairs", "Guest"];

/// Mail domains that are reserved for examples (RFC 2606).
pub(crate) const MAIL_DOMAINS: &[&str] =
    &["example.org", "example.net", "example.com", "mail.example.org", "post.example.net"];
