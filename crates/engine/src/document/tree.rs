//! The fields of a table as a tree of keys, so that a document finds its fields key by key.

use super::coerce::Rule;
use super::error::DocumentError;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use model::{Field, FieldId, FieldName, FieldType, Schema};
use std::hash::BuildHasher;

/// The most fields a table can have.
pub(crate) const FIELDS_MAX: usize = 1000;
/// The most parts a path can have.
pub(crate) const DEPTH_MAX: usize = 20;
/// The most keys, with and without a field, that the documents of one batch can have.
const NODES_MAX: usize = 20_000;

/// Names that belong to the store, not to documents.
pub(crate) const METADATA_FIELDS: [&str; 12] = [
    "_id",
    "_index",
    "_source",
    "_type",
    "_routing",
    "_seq_no",
    "_primary_term",
    "_version",
    "_score",
    "_field_names",
    "_ignored",
    "_doc_count",
];

/// Keys and where they lead. Node 0 is the document itself.
pub(super) struct Tree {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    fields: Vec<Field>,
    /// Beside each field what its values must be.
    rules: Vec<Rule>,
    known_fields: usize,
    changes: Vec<Change>,
    hasher: RandomState,
}

/// A path: of a field, of an object, or of nothing yet.
struct Node {
    path: String,
    parts: usize,
    parent: u32,
    kind: NodeKind,
    edges: Vec<u32>,
    by_key: HashTable<u32>,
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeKind {
    /// Neither a field nor an object with fields.
    Unknown,
    /// There are fields below.
    Object,
    /// A field.
    Leaf(FieldId),
}

/// One key of one object. A key with dots leads several nodes down.
struct Edge {
    key: Box<str>,
    node: u32,
    place: u32,
    dotted: bool,
    /// The last object that had this key, to find a key that comes twice.
    seen_in: u64,
}

enum Change {
    Edge { from: u32 },
    Kind { node: u32 },
}

/// A point to go back to.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    nodes: usize,
    edges: usize,
    fields: usize,
}

/// A key of an object, found.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) edge: u32,
    pub(super) node: u32,
    /// Where the next key is expected.
    pub(super) next: u32,
    pub(super) dotted: bool,
}

impl Tree {
    pub(super) fn new(schema: &Schema) -> Tree {
        let mut tree = Tree {
            nodes: vec![Node::root()],
            edges: Vec::new(),
            fields: schema.fields().to_vec(),
            rules: schema.fields().iter().map(Rule::of).collect(),
            known_fields: schema.fields().len(),
            changes: Vec::new(),
            hasher: RandomState::default(),
        };
        let written = |(_, field): &(usize, &Field)| field.companion_of.is_none();
        for (number, field) in schema.fields().iter().enumerate().filter(written) {
            let mut node = 0;
            for part in field.name.as_str().split('.') {
                node = tree.child(node, part);
            }
            tree.set_leaf(node, FieldId(number as u32));
        }
        tree.changes.clear();
        tree
    }

    pub(super) fn rule(&self, id: FieldId) -> Rule {
        self.rules[id.0 as usize]
    }

    pub(super) fn field(&self, id: FieldId) -> &Field {
        &self.fields[id.0 as usize]
    }

    /// The fields that were not in the schema.
    pub(super) fn into_new_fields(mut self) -> Vec<Field> {
        self.fields.split_off(self.known_fields)
    }

    pub(super) fn kind(&self, node: u32) -> NodeKind {
        self.nodes[node as usize].kind
    }

    pub(super) fn path(&self, node: u32) -> &str {
        &self.nodes[node as usize].path
    }

    /// The node of a field.
    pub(super) fn node_of(&self, id: FieldId) -> u32 {
        let mut node = 0;
        for part in self.field(id).name.as_str().split('.') {
            let edge = self.find(node, part).expect("every field has its keys");
            node = self.edges[edge as usize].node;
        }
        node
    }

    pub(super) fn key(&self, edge: u32) -> &str {
        &self.edges[edge as usize].key
    }

    /// Follows `key` from `node`; `expected` is where the last document went from here, which
    /// saves the hash for documents that look alike. `object` numbers the objects that are read.
    pub(super) fn step(
        &mut self,
        node: u32,
        key: &str,
        expected: u32,
        object: u64,
    ) -> Result<Step, DocumentError> {
        let edge = match self.nodes[node as usize].edges.get(expected as usize) {
            Some(&edge) if *self.edges[edge as usize].key == *key => edge,
            _ => match self.find(node, key) {
                Some(edge) => edge,
                None => self.add_key(node, key, expected)?,
            },
        };
        let found = &mut self.edges[edge as usize];
        if found.seen_in == object {
            let to = found.node;
            return Err(DocumentError::parsing(format!(
                "failed to parse: {} comes twice in the same object",
                self.describe(to)
            )));
        }
        found.seen_in = object;
        Ok(Step { edge, node: found.node, next: found.place + 1, dotted: found.dotted })
    }

    fn find(&self, node: u32, key: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        let same = |edge: &u32| *self.edges[*edge as usize].key == *key;
        self.nodes[node as usize].by_key.find(hash, same).copied()
    }

    fn add_key(&mut self, node: u32, key: &str, place: u32) -> Result<u32, DocumentError> {
        let path = join(self.path(node), key);
        let place = place + 1;
        let within = self.describe_object(node);
        FieldName::parse(&path).map_err(|error| {
            DocumentError::parsing(format!(
                "failed to parse: key number {place} of {within}: {error}"
            ))
        })?;
        if node == 0
            && let Some(name) = METADATA_FIELDS.iter().find(|name| **name == key)
        {
            return Err(DocumentError::parsing(format!(
                "Field [{name}] is a metadata field and cannot be added inside a document. Use the \
                 index API request parameters."
            )));
        }
        let parts = self.nodes[node as usize].parts + 1 + key.matches('.').count();
        if parts > DEPTH_MAX {
            return Err(DocumentError::argument(format!(
                "Limit of mapping depth [{DEPTH_MAX}] has been exceeded below {within}"
            )));
        }
        if self.nodes.len() + parts > NODES_MAX {
            return Err(fields_exceeded());
        }
        let mut to = node;
        for part in key.split('.') {
            to = self.child(to, part);
        }
        if !key.contains('.') {
            return Ok(self.find(node, key).expect("the key was just added"));
        }
        Ok(self.add_edge(node, key, to, true))
    }

    /// The node one key down; made if it is not there. `key` has no dot.
    fn child(&mut self, node: u32, key: &str) -> u32 {
        if let Some(edge) = self.find(node, key) {
            return self.edges[edge as usize].node;
        }
        let child = self.nodes.len() as u32;
        let parent = &self.nodes[node as usize];
        self.nodes.push(Node {
            path: join(&parent.path, key),
            parts: parent.parts + 1,
            parent: node,
            ..Node::root()
        });
        self.add_edge(node, key, child, false);
        child
    }

    fn add_edge(&mut self, from: u32, key: &str, to: u32, dotted: bool) -> u32 {
        let edge = self.edges.len() as u32;
        let place = self.nodes[from as usize].edges.len() as u32;
        self.edges.push(Edge { key: key.into(), node: to, place, dotted, seen_in: 0 });
        let node = &mut self.nodes[from as usize];
        node.edges.push(edge);
        let edges = &self.edges;
        let hasher = &self.hasher;
        node.by_key.insert_unique(hasher.hash_one(key), edge, |edge| {
            hasher.hash_one(&*edges[*edge as usize].key)
        });
        self.changes.push(Change::Edge { from });
        edge
    }

    /// Makes a new field at `node`.
    pub(super) fn add_field(&mut self, node: u32, ty: FieldType) -> Result<FieldId, DocumentError> {
        if self.fields.len() >= FIELDS_MAX {
            return Err(fields_exceeded());
        }
        self.check_above(node)?;
        let name = FieldName::parse(self.path(node)).expect("checked when the key was added");
        let mut field = Field::new(name, ty, dynamic_es_type(ty));
        if ty == FieldType::Text {
            field.keyword_up_to = Some(256);
        }
        let id = FieldId(self.fields.len() as u32);
        self.rules.push(Rule::of(&field));
        self.fields.push(field);
        self.set_leaf(node, id);
        Ok(id)
    }

    /// The field at `node`; made as `wanted` says if there is none.
    pub(super) fn field_at(&mut self, node: u32, wanted: &Field) -> Result<FieldId, DocumentError> {
        match self.kind(node) {
            NodeKind::Leaf(id) => return Ok(id),
            NodeKind::Object => {
                return Err(DocumentError::argument(format!(
                    "{} has fields below it and cannot hold a value itself",
                    self.describe(node)
                )));
            }
            NodeKind::Unknown => {}
        }
        if self.fields.len() >= FIELDS_MAX {
            return Err(fields_exceeded());
        }
        self.check_above(node)?;
        let id = FieldId(self.fields.len() as u32);
        self.rules.push(Rule::of(wanted));
        self.fields.push(wanted.clone());
        self.set_leaf(node, id);
        Ok(id)
    }

    /// Refuses a path that leads through a field, as a key with dots can.
    pub(super) fn check_above(&self, node: u32) -> Result<(), DocumentError> {
        let mut above = self.nodes[node as usize].parent;
        while above != 0 {
            if let NodeKind::Leaf(id) = self.kind(above) {
                return Err(DocumentError::parsing(format!(
                    "Could not dynamically add a field below {}: it must be of type object but is [{}]",
                    self.describe(above),
                    self.field(id).es_type
                )));
            }
            above = self.nodes[above as usize].parent;
        }
        Ok(())
    }

    fn set_leaf(&mut self, node: u32, id: FieldId) {
        self.set_kind(node, NodeKind::Leaf(id));
        let mut above = self.nodes[node as usize].parent;
        while above != 0 && self.kind(above) == NodeKind::Unknown {
            self.set_kind(above, NodeKind::Object);
            above = self.nodes[above as usize].parent;
        }
    }

    fn set_kind(&mut self, node: u32, kind: NodeKind) {
        self.nodes[node as usize].kind = kind;
        self.changes.push(Change::Kind { node });
    }

    pub(super) fn mark(&mut self) -> Mark {
        self.changes.clear();
        Mark { nodes: self.nodes.len(), edges: self.edges.len(), fields: self.fields.len() }
    }

    /// Undoes everything since `mark`, the last one that was taken.
    pub(super) fn go_back(&mut self, mark: Mark) {
        while let Some(change) = self.changes.pop() {
            match change {
                Change::Kind { node } => self.nodes[node as usize].kind = NodeKind::Unknown,
                Change::Edge { from } => {
                    let node = &mut self.nodes[from as usize];
                    let edge = node.edges.pop().expect("the edge was pushed");
                    let hash = self.hasher.hash_one(&*self.edges[edge as usize].key);
                    if let Ok(entry) = node.by_key.find_entry(hash, |&other| other == edge) {
                        entry.remove();
                    }
                }
            }
        }
        self.nodes.truncate(mark.nodes);
        self.edges.truncate(mark.edges);
        self.fields.truncate(mark.fields);
        self.rules.truncate(mark.fields);
    }

    /// The name of a path for an error: in clear only what the mapping knew before.
    pub(super) fn describe(&self, node: u32) -> String {
        match self.kind(node) {
            NodeKind::Leaf(id) if (id.0 as usize) < self.known_fields => {
                format!("field [{}]", self.path(node))
            }
            NodeKind::Object if self.is_known(node) => format!("field [{}]", self.path(node)),
            _ => match self.nodes[node as usize].parent {
                0 => "a field that is not in the mapping".to_owned(),
                parent => {
                    format!(
                        "a field that is not in the mapping, within {}",
                        self.describe_object(parent)
                    )
                }
            },
        }
    }

    fn describe_object(&self, node: u32) -> String {
        let mut node = node;
        while node != 0 && !self.is_known(node) {
            node = self.nodes[node as usize].parent;
        }
        if node == 0 { "the document".to_owned() } else { format!("[{}]", self.path(node)) }
    }

    /// Whether a field of the schema lies at or below `node`.
    fn is_known(&self, node: u32) -> bool {
        match self.kind(node) {
            NodeKind::Leaf(id) => (id.0 as usize) < self.known_fields,
            NodeKind::Unknown => false,
            NodeKind::Object => {
                let edges = &self.nodes[node as usize].edges;
                edges.iter().any(|&edge| self.is_known(self.edges[edge as usize].node))
            }
        }
    }
}

impl Node {
    fn root() -> Node {
        Node {
            path: String::new(),
            parts: 0,
            parent: 0,
            kind: NodeKind::Unknown,
            edges: Vec::new(),
            by_key: HashTable::new(),
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn fields_exceeded() -> DocumentError {
    DocumentError::argument(format!(
        "Limit of total fields [{FIELDS_MAX}] has been exceeded while adding new fields; \
         put changing keys into values, or split the table"
    ))
}

/// The word that Elasticsearch's dynamic mapping would use.
fn dynamic_es_type(ty: FieldType) -> &'static str {
    match ty {
        FieldType::Keyword => "keyword",
        FieldType::Text => "text",
        FieldType::Long => "long",
        FieldType::Double => "float",
        FieldType::Boolean => "boolean",
        FieldType::Date => "date",
        FieldType::Ip => "ip",
        FieldType::GeoPoint => "geo_point",
    }
}
