//! Names of 22 languages. Common given and family names, put together at random: nobody is meant.

use crate::random::Random;

/// A language and its names.
pub(crate) struct Language {
    pub(crate) name: &'static str,
    given: &'static [&'static str],
    family: &'static [&'static str],
    /// What people call their things.
    things: &'static [&'static str],
    order: Order,
}

/// How a full name is put together.
enum Order {
    GivenFamily,
    FamilyGiven,
    /// Family name first, and no blank between.
    Joined,
}

/// What a field of this name holds.
pub(crate) enum Holds {
    Full,
    Given,
    Family,
    Thing,
    Login,
}

/// A field in which one expects a name.
pub(crate) struct NameField {
    pub(crate) name: &'static str,
    holds: Holds,
}

const fn field(name: &'static str, holds: Holds) -> NameField {
    NameField { name, holds }
}

use Holds::{Family, Full, Given, Login, Thing};

pub(crate) const FIELDS: &[NameField] = &[
    field("name", Full),
    field("full_name", Full),
    field("fullName", Full),
    field("user.full_name", Full),
    field("customer.name", Full),
    field("customer_name", Full),
    field("owner.name", Full),
    field("contact", Full),
    field("contactName", Full),
    field("author", Full),
    field("patient_name", Full),
    field("sender", Full),
    field("display_name", Full),
    field("member.name", Full),
    field("recipient_name", Full),
    field("person", Full),
    field("employee", Full),
    field("kontakt.name", Full),
    field("nome_completo", Full),
    field("first_name", Given),
    field("given_name", Given),
    field("vorname", Given),
    field("prenom", Given),
    field("nombre", Given),
    field("nome", Given),
    field("last_name", Family),
    field("surname", Family),
    field("family_name", Family),
    field("nachname", Family),
    field("apellido", Family),
    field("cognome", Family),
    field("姓名", Full),
    field("имя", Given),
    field("username", Login),
    field("user.name", Login),
    field("login", Login),
    field("screen_name", Login),
    field("handle", Login),
    field("nickname", Thing),
    field("camera_nickname", Thing),
    field("device.nickname", Thing),
    field("deviceName", Thing),
    field("room_name", Thing),
    field("alias", Thing),
    field("device_label", Thing),
    field("home.name", Thing),
];

impl Language {
    pub(crate) fn value(&self, field: &NameField, random: &mut Random) -> String {
        let (given, family) = (random.pick(self.given), random.pick(self.family));
        match field.holds {
            Full => match self.order {
                GivenFamily => format!("{given} {family}"),
                FamilyGiven => format!("{family} {given}"),
                Joined => format!("{family}{given}"),
            },
            Given => given.to_owned(),
            Family => family.to_owned(),
            Thing => match random.below(3) {
                0 => format!("{given} {}", random.pick(self.things)),
                _ => random.pick(self.things).to_owned(),
            },
            Login => format!("{}{}", given.to_lowercase(), random.below(99)),
        }
    }
}

const fn of(
    name: &'static str,
    order: Order,
    given: &'static [&'static str],
    family: &'static [&'static str],
    things: &'static [&'static str],
) -> Language {
    Language { name, given, family, things, order }
}

use Order::{FamilyGiven, GivenFamily, Joined};

pub(crate) const LANGUAGES: &[Language] = &[
    of(
        "English",
        GivenFamily,
        &["Emily", "James", "Olivia", "Mary-Ann"],
        &["Smith", "O'Neill", "Taylor-Brown", "McDonald"],
        &["front door", "Mom's lamp", "Garage"],
    ),
    of(
        "German",
        GivenFamily,
        &["Jürgen", "Anna", "Karl-Heinz", "Uwe"],
        &["Müller", "von der Heide", "Weiß", "Schröder"],
        &["Haustür", "Küche links", "Omas Lampe"],
    ),
    of(
        "French",
        GivenFamily,
        &["Hélène", "Jean-Luc", "François", "Zoé"],
        &["Dupont", "de La Tour", "L'Hermite", "Lefèvre"],
        &["chambre", "Porte d'entrée", "salle à manger"],
    ),
    of(
        "Spanish",
        GivenFamily,
        &["María José", "Íñigo", "Lucía", "Jesús"],
        &["García Márquez", "de la Cruz", "Núñez", "Pérez"],
        &["cocina", "Salón", "puerta"],
    ),
    of(
        "Portuguese",
        GivenFamily,
        &["João", "Inês", "Luís", "Conceição"],
        &["da Silva", "dos Santos", "Gonçalves", "Araújo"],
        &["quarto", "Cozinha", "portão"],
    ),
    of(
        "Italian",
        GivenFamily,
        &["Niccolò", "Chiara", "Andrea", "Giulia"],
        &["D'Angelo", "Rossi", "De Luca", "Esposito"],
        &["cucina", "Camera", "ingresso"],
    ),
    of(
        "Dutch",
        GivenFamily,
        &["Sanne", "Jeroen", "Fleur", "Daan"],
        &["van den Berg", "de Vries", "Jansen", "van Dijk"],
        &["keuken", "Voordeur", "zolder"],
    ),
    of(
        "Polish",
        GivenFamily,
        &["Łukasz", "Małgorzata", "Żaneta", "Jan"],
        &["Wiśniewski", "Żółć", "Kowalska", "Dąbrowski"],
        &["kuchnia", "Salon", "łazienka"],
    ),
    of(
        "Czech",
        GivenFamily,
        &["Jiří", "Zdeňka", "Šárka", "Ondřej"],
        &["Dvořák", "Nováková", "Čermák", "Říha"],
        &["kuchyně", "Ložnice", "chodba"],
    ),
    of(
        "Swedish",
        GivenFamily,
        &["Åsa", "Björn", "Örjan", "Märta"],
        &["Åkesson", "Öberg", "Lindström", "af Ugglas"],
        &["köket", "Hallen", "sovrum"],
    ),
    of(
        "Turkish",
        GivenFamily,
        &["Çağla", "İbrahim", "Şule", "Oğuz"],
        &["Yılmaz", "Öztürk", "Çelik", "Şahin"],
        &["mutfak", "Salon", "kapı"],
    ),
    of(
        "Vietnamese",
        FamilyGiven,
        &["Thị Hương", "Văn Đức", "Minh Anh", "Ngọc"],
        &["Nguyễn", "Trần", "Phạm", "Đặng"],
        &["nhà bếp", "Phòng khách", "cửa"],
    ),
    of(
        "Indonesian",
        GivenFamily,
        &["Siti", "Budi", "Dewi", "Agus"],
        &["Santoso", "Wulandari", "Nur Hidayah", "Wijaya"],
        &["dapur", "Kamar", "pintu depan"],
    ),
    of(
        "Russian",
        GivenFamily,
        &["Анна", "Дмитрий", "Алёна", "Фёдор"],
        &["Иванова", "Кузнецов", "Щербаков", "Соловьёва"],
        &["кухня", "Дача", "мамина лампа"],
    ),
    of(
        "Greek",
        GivenFamily,
        &["Γιώργος", "Ελένη", "Άννα", "Νίκος"],
        &["Παπαδόπουλος", "Γεωργίου", "Ιωάννου", "Δήμου"],
        &["κουζίνα", "Σαλόνι", "πόρτα"],
    ),
    of(
        "Arabic",
        GivenFamily,
        &["محمد", "فاطمة", "عبد الله", "ليلى"],
        &["الحسن", "بن علي", "حداد", "المصري"],
        &["المطبخ", "غرفة النوم", "الباب"],
    ),
    of(
        "Hebrew",
        GivenFamily,
        &["דוד", "רחל", "נועה", "יוסף"],
        &["כהן", "לוי", "בן דוד", "מזרחי"],
        &["מטבח", "סלון", "דלת"],
    ),
    of(
        "Hindi",
        GivenFamily,
        &["प्रिया", "राहुल", "सुनीता", "अर्जुन"],
        &["शर्मा", "सिंह", "गुप्ता", "चौधरी"],
        &["रसोई", "बैठक", "दरवाज़ा"],
    ),
    of(
        "Thai",
        GivenFamily,
        &["สมชาย", "มาลี", "ณัฐพล", "อรุณ"],
        &["ใจดี", "แสงทอง", "ศรีสุข", "บุญมี"],
        &["ห้องครัว", "ห้องนอน", "ประตู"],
    ),
    of(
        "Chinese",
        Joined,
        &["小明", "丽", "建国", "雨欣"],
        &["王", "李", "欧阳", "陈"],
        &["厨房", "客厅灯", "门口"],
    ),
    of(
        "Japanese",
        FamilyGiven,
        &["さくら", "健太", "美咲", "ユウキ"],
        &["佐藤", "鈴木", "高橋", "渡辺"],
        &["玄関", "リビング", "台所"],
    ),
    of(
        "Korean",
        Joined,
        &["민준", "서연", "지훈", "하은"],
        &["김", "이", "박", "남궁"],
        &["부엌", "거실", "현관"],
    ),
];
