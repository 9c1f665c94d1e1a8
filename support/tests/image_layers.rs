//! The scan of an image's layers: what it finds, and that whatever is not read whole, or could be read in two ways, is no answer.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::io::{Read, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use phasegate_support::image::layers::{LayersError, Scanned, Wanted, scan};
use proptest::prelude::*;
use rstest::rstest;
use sha2::{Digest as _, Sha256};

/// Put together here, so that no key stands in the sources.
fn key() -> String {
    ["AK", "IA", "Q3EGRIYP", "Q3EGRIYP"].concat()
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// One entry of an archive, as it stands there: no library stands between a test and a broken archive.
fn entry(kind: u8, name: &str, size: u64, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    let padding = vec![0; content.len().next_multiple_of(512) - content.len()];
    [header.as_bytes().as_slice(), content, &padding].concat()
}

fn file(name: &str, content: &str) -> Vec<u8> {
    entry(b'0', name, content.len() as u64, content.as_bytes())
}

fn link(kind: u8, name: &str, to: &str) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_link_name_literal(to).unwrap();
    header.set_size(0);
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (1..=4).map(|digits| rest + digits).find(|l| l.to_string().len() + rest == *l).unwrap();
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

fn ended(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1024]].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// How engines write an image: a folder for each layer, or blobs by their digest.
#[derive(Debug, Clone, Copy)]
enum Saved {
    Folders,
    Blobs,
}

/// An image as it is saved, with its parts open to change.
struct Image {
    layers: Vec<(String, Vec<u8>)>,
    diff_ids: Vec<String>,
    config_path: String,
    /// What the image says of itself.
    says: serde_json::Value,
}

impl Image {
    fn of(saved: Saved, layers: &[Vec<u8>]) -> Self {
        let diff_ids: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", digest(layer))).collect();
        let name = |layer: &Vec<u8>| match saved {
            Saved::Folders => format!("{}/layer.tar", digest(layer)),
            Saved::Blobs => format!("blobs/sha256/{}", digest(layer)),
        };
        let config_path = match saved {
            Saved::Folders => "config.json".to_owned(),
            Saved::Blobs => "blobs/sha256/config".to_owned(),
        };
        Self {
            layers: layers.iter().map(|layer| (name(layer), layer.clone())).collect(),
            diff_ids,
            config_path,
            says: serde_json::json!({}),
        }
    }

    fn config(&self) -> String {
        let rootfs = serde_json::json!({ "type": "layers", "diff_ids": self.diff_ids });
        serde_json::json!({ "rootfs": rootfs, "config": self.says }).to_string()
    }

    fn manifest(&self) -> String {
        let names: Vec<&str> = self.layers.iter().map(|(name, _)| name.as_str()).collect();
        serde_json::json!([{ "Config": self.config_path, "RepoTags": null, "Layers": names }]).to_string()
    }

    fn entries(&self) -> Vec<Vec<u8>> {
        let mut entries = vec![entry(b'5', "blobs/", 0, b"")];
        for (name, bytes) in &self.layers {
            entries.push(entry(b'0', name, bytes.len() as u64, bytes));
        }
        entries.push(file(&self.config_path, &self.config()));
        entries.push(file("manifest.json", &self.manifest()));
        entries
    }

    fn saved(&self) -> Vec<u8> {
        ended(&self.entries())
    }
}

fn answer(bytes: &[u8]) -> Result<Scanned, LayersError> {
    scan(&mut &*bytes, &Wanted::default())
}

/// The answer to an image of one layer.
fn of_layer(layer: Vec<u8>) -> Result<Scanned, LayersError> {
    answer(&Image::of(Saved::Blobs, &[layer]).saved())
}

fn refused(answer: Result<Scanned, LayersError>, says: &str) {
    let error = answer.unwrap_err().to_string();
    assert!(error.contains(says), "{error}");
}

fn places(scanned: &Scanned) -> Vec<(usize, &str, &str, bool)> {
    scanned.findings.iter().map(|f| (f.layer, f.path.as_str(), f.rule.as_str(), f.deleted_later)).collect()
}

/// What stands in no layer: commands, checks of health, labels.
#[rstest]
#[case(serde_json::json!({ "Cmd": ["serve", key()] }))]
#[case(serde_json::json!({ "Healthcheck": { "Test": ["CMD-SHELL", format!("curl -u {}: localhost", key())] } }))]
#[case(serde_json::json!({ "OnBuild": [format!("ENV KEY {}", key())] }))]
#[case(serde_json::json!({ "Labels": { "note": key() } }))]
fn the_images_own_document_is_searched(
    #[case] says: serde_json::Value,
    #[values(Saved::Folders, Saved::Blobs)] saved: Saved,
) {
    let mut image = Image::of(saved, &[ended(&[file("etc/motd", "hello")])]);
    image.says = says;
    let scanned = answer(&image.saved()).unwrap();
    assert_eq!(places(&scanned), [(0, "/configuration", "aws-access-key-id", false)]);
    assert!(scanned.findings[0].to_string().contains("in the image's configuration"), "{}", scanned.findings[0]);
}

#[rstest]
fn a_clean_image_says_what_was_read(#[values(Saved::Folders, Saved::Blobs)] saved: Saved) {
    let layers = [ended(&[file("./etc/motd", "hello\n"), entry(b'5', "app/", 0, b"")]), ended(&[file("app/x", "1")])];
    let image = Image::of(saved, &layers);
    let scanned = answer(&image.saved()).unwrap();
    assert_eq!(scanned.diff_ids(), image.diff_ids);
    assert_eq!((scanned.files(), scanned.bytes(), scanned.findings.len(), scanned.more), (2, 7, 0, 0));
    assert_eq!(scanned.config_digest, format!("sha256:{}", digest(image.config().as_bytes())));
}

#[rstest]
#[case::the_file("app/.wh.key.txt", true)]
#[case::its_folder(".wh.app", true)]
#[case::all_of_its_folder("app/.wh..wh..opq", true)]
#[case::another_file("app/.wh.other", false)]
#[case::a_file_that_begins_alike("app/.wh.key", false)]
fn what_a_later_layer_deletes_is_found(
    #[case] mark: &str,
    #[case] deleted: bool,
    #[values(Saved::Folders, Saved::Blobs)] saved: Saved,
) {
    let layers = [ended(&[file("app/key.txt", &key())]), ended(&[file(mark, "")])];
    let scanned = answer(&Image::of(saved, &layers).saved()).unwrap();
    assert_eq!(places(&scanned), [(0, "app/key.txt", "aws-access-key-id", deleted)]);
    assert_eq!(scanned.findings[0].to_string().contains("later layer"), deleted);
}

#[test]
fn a_file_is_also_told_by_its_name_in_whatever_way_it_is_written() {
    let long = format!("{}/.env", "folder/".repeat(30).trim_end_matches('/'));
    let layer = ended(&[
        file("./app/.env", ""),
        entry(b'L', "././@LongLink", long.len() as u64 + 1, format!("{long}\0").as_bytes()),
        file("cut", "x"),
        entry(b'x', "pax", record("path", b"b/id_rsa").len() as u64, &record("path", b"b/id_rsa")),
        file("harmless", "x"),
        link(b'2', "c/.netrc", "/elsewhere"),
        entry(b'5', "d/.env/", 0, b""),
    ]);
    let scanned = of_layer(layer).unwrap();
    let paths: Vec<&str> = scanned.findings.iter().map(|found| found.path.as_str()).collect();
    assert_eq!(paths, ["app/.env", &long, "b/id_rsa", "c/.netrc"]);
    assert!(scanned.findings.iter().all(|found| found.at == "name"));
}

#[test]
fn attributes_are_searched_and_a_line_break_in_them_hides_nothing() {
    let value = format!("first\n{}", key());
    let records = [record("SCHILY.xattr.user.note", value.as_bytes()), record("mtime", b"1.5")].concat();
    let layer = ended(&[entry(b'x', "pax", records.len() as u64, &records), file("a", "x")]);
    let scanned = of_layer(layer).unwrap();
    assert_eq!(places(&scanned), [(0, "a", "aws-access-key-id", false)]);
    assert!(scanned.findings[0].at.starts_with("attributes "), "{:?}", scanned.findings);
    // What looks like a record inside of a value is none.
    let hidden = [b"x\n".as_slice(), &record("path", b"harmless")].concat();
    let records = record("SCHILY.xattr.user.note", &hidden);
    let layer = ended(&[entry(b'x', "pax", records.len() as u64, &records), file(".env", "")]);
    assert_eq!(of_layer(layer).unwrap().findings[0].path, ".env");
    let records = record("SCHILY.xattr.user.note", key().as_bytes());
    let layer = ended(&[entry(b'g', "global", records.len() as u64, &records), file("a", "x")]);
    assert_eq!(places(&of_layer(layer).unwrap()), [(0, "global", "aws-access-key-id", false)]);
}

#[test]
fn every_member_of_a_gzip_layer_is_read() {
    let [clean, with_key] = [file("a", "x"), file("b", &key())];
    let whole = ended(&[clean.clone(), with_key.clone()]);
    let tail = [with_key, vec![0; 1024]].concat();
    let mut image = Image::of(Saved::Blobs, &[whole]);
    image.layers[0].1 = [gzip(&clean), gzip(&tail)].concat();
    assert_eq!(places(&answer(&image.saved()).unwrap()), [(0, "b", "aws-access-key-id", false)]);
    image.layers[0].1.extend_from_slice(b"more");
    refused(answer(&image.saved()), "cannot be read to its end");
    let packed = gzip(&ended(&[clean]));
    image.layers[0].1 = packed[..packed.len() - 9].to_vec();
    refused(answer(&image.saved()), "cannot be read to its end");
}

/// A stream comes in pieces of any length; the answer does not depend on it.
#[rstest]
#[case(1)]
#[case(7)]
#[case(511)]
fn the_answer_does_not_depend_on_how_the_stream_comes(#[case] most: usize) {
    struct Pieces<'b>(&'b [u8], usize);
    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = buffer.len().min(self.1);
            self.0.read(&mut buffer[..count])
        }
    }
    let mut image = Image::of(Saved::Folders, &[ended(&[file("a", &key())]), vec![0; 1024]]);
    for packed in [false, true] {
        if packed {
            image.layers[0].1 = gzip(&image.layers[0].1);
        }
        let saved = image.saved();
        let whole = answer(&saved).unwrap();
        assert_eq!((whole.findings.len(), whole.layers.len()), (1, 2));
        assert_eq!(scan(&mut Pieces(&saved, most), &Wanted::default()).unwrap(), whole);
    }
}

/// Wherever the stream ends: no answer, or the whole one where only the end mark is missing.
#[rstest]
fn a_stream_that_is_cut_is_no_answer(#[values(Saved::Folders, Saved::Blobs)] saved: Saved) {
    let layers = [ended(&[file("a", "x")]), ended(&[file("b", &key()), file("c", "y")])];
    let bytes = Image::of(saved, &layers).saved();
    let whole = answer(&bytes).unwrap();
    let content = bytes.len() - 1024;
    for end in 0..bytes.len() {
        match answer(&bytes[..end]) {
            Ok(scanned) => assert!(end >= content && scanned == whole, "cut at {end}: {scanned:?}"),
            Err(_) => assert!(end < content || !end.is_multiple_of(512), "cut at {end}"),
        }
    }
}

/// A layer that was cut before it was saved is another layer than the configuration's.
#[test]
fn a_layer_that_is_cut_is_no_answer() {
    let layer = ended(&[file("a", "x"), file("b", &key())]);
    for (name, end) in
        [("at the end of an entry", 1024), ("in an entry", 1000), ("before its end mark", layer.len() - 1024)]
    {
        for packed in [false, true] {
            let mut image = Image::of(Saved::Blobs, std::slice::from_ref(&layer));
            let cut = layer[..end].to_vec();
            image.layers[0].1 = if packed { gzip(&cut) } else { cut };
            answer(&image.saved()).expect_err(name);
        }
    }
}

#[test]
fn layers_are_those_of_the_configuration_and_of_the_manifest() {
    let layers = [ended(&[file("a", "x")]), ended(&[file("b", "y")])];
    let image = || Image::of(Saved::Folders, &layers);
    let mut other = image();
    other.layers[1].1 = ended(&[file("b", "z")]);
    refused(answer(&other.saved()), "configuration names the layers");
    let mut swapped = image();
    swapped.layers.swap(0, 1);
    refused(answer(&swapped.saved()), "configuration names the layers");
    let mut fewer = image();
    fewer.layers.pop();
    refused(answer(&fewer.saved()), "configuration names the layers");
    let mut more = image();
    more.diff_ids.pop();
    refused(answer(&more.saved()), "configuration names the layers");
    let mut none = image();
    none.layers.clear();
    none.diff_ids.clear();
    refused(answer(&none.saved()), "no layer");
    let mut missing = image().entries();
    missing.remove(1);
    refused(answer(&ended(&missing)), "not in it as a tar archive");
    let mut text = image();
    text.layers[0].1 = b"no archive".to_vec();
    refused(answer(&text.saved()), "not in it as a tar archive");
}

#[test]
fn a_layer_that_is_there_once_is_linked_to() {
    let layer = ended(&[file("a", &key())]);
    for (kind, to) in [(b'2', "../first/layer.tar"), (b'1', "first/layer.tar")] {
        let mut image = Image::of(Saved::Folders, &[layer.clone(), layer.clone()]);
        image.layers[0].0 = "first/layer.tar".to_owned();
        image.layers[1].0 = "second/layer.tar".to_owned();
        let mut entries = image.entries();
        entries[2] = link(kind, "second/layer.tar", to);
        let scanned = answer(&ended(&entries)).unwrap();
        assert_eq!(places(&scanned).len(), 2, "{scanned:?}");
        entries.remove(1);
        refused(answer(&ended(&entries)), "not in it as a tar archive");
    }
}

#[rstest]
#[case::none("[]", "0 images")]
#[case::two(r#"[{"Config":"config.json","Layers":["x"]},{"Config":"config.json","Layers":["x"]}]"#, "2 images")]
#[case::no_list("{}", "manifest.json")]
#[case::no_json("x", "manifest.json")]
#[case::no_configuration(r#"[{"Layers":["x"]}]"#, "Config")]
#[case::another_configuration(r#"[{"Config":"other.json","Layers":["x"]}]"#, "other.json")]
fn a_manifest_is_of_one_image(#[case] manifest: &str, #[case] says: &str) {
    let mut entries = Image::of(Saved::Folders, &[ended(&[file("a", "x")])]).entries();
    entries.pop();
    refused(answer(&ended(&entries)), "manifest.json");
    entries.push(file("manifest.json", manifest));
    refused(answer(&ended(&entries)), says);
}

#[test]
fn a_name_that_stands_twice_is_no_answer() {
    let image = Image::of(Saved::Folders, &[ended(&[file("a", "x")])]);
    for again in 1..image.entries().len() {
        let mut entries = image.entries();
        entries.push(entries[again].clone());
        refused(answer(&ended(&entries)), "twice");
    }
}

#[rstest]
#[case::behind_the_end([ended(&[file("a", "x")]), b"more".to_vec()].concat(), "behind its end mark")]
#[case::an_archive_behind_the_end([ended(&[file("a", "x")]), file("b", "y")].concat(), "behind its end mark")]
#[case::one_block_of_zeros([file("a", "x"), vec![0; 512], file("b", "y")].concat(), "behind its end mark")]
#[case::a_folder_with_bytes(ended(&[entry(b'5', "a/", 512, &[b'x'; 512])]), "bytes of its own")]
#[case::an_old_folder_with_bytes(ended(&[entry(0, "a/", 512, &[b'x'; 512])]), "bytes of its own")]
#[case::a_link_with_bytes(ended(&[entry(b'1', "a", 512, &file("b", ""))]), "bytes of its own")]
#[case::a_device_with_bytes(ended(&[entry(b'3', "a", 512, &[b'x'; 512])]), "bytes of its own")]
#[case::a_sparse_file(ended(&[entry(b'S', "a", 1, b"x")]), "sparse")]
#[case::an_unknown_type(ended(&[entry(b'Z', "a", 1, b"x")]), "unknown type")]
#[case::a_long_name(ended(&[entry(b'L', "a", 64 << 20, b"")]), "at most")]
#[case::long_records(ended(&[entry(b'x', "a", 64 << 20, b"")]), "at most")]
#[case::a_name_and_no_entry(ended(&[entry(b'L', "a", 2, b"b\0")]), "between the name")]
#[case::records_and_no_entry(ended(&[entry(b'x', "a", 8, b"8 mtim=\n")]), "between the name")]
#[case::a_size_in_the_records(
    ended(&[entry(b'x', "a", 9, b"9 size=0\n"), entry(b'0', "b", 512, &file("c", ""))]),
    "a size beside"
)]
#[case::sparse_by_records(
    ended(&[entry(b'x', "a", 22, b"22 GNU.sparse.major=1\n"), file("b", "x")]),
    "sparse"
)]
#[case::records_without_length(ended(&[entry(b'x', "a", 7, b"mtime=1"), file("b", "x")]), "cannot be read")]
#[case::records_that_are_too_long(ended(&[entry(b'x', "a", 10, b"99 mtim=1\n"), file("b", "x")]), "cannot be read")]
#[case::a_record_of_no_length(ended(&[entry(b'x', "a", 10, b"0 mtime=1\n"), file("b", "x")]), "cannot be read")]
#[case::a_broken_header(ended(&[vec![b'x'; 512]]), "not in it as a tar archive")]
#[case::a_second_header_that_is_broken(ended(&[file("a", "x"), vec![b'x'; 512]]), "cannot be read to its end")]
fn a_layer_that_can_be_read_in_two_ways_is_no_answer(#[case] layer: Vec<u8>, #[case] says: &str) {
    refused(of_layer(layer), says);
}

/// A file is there by its content, under whatever path, where a container of the image sees it.
#[rstest]
#[case::as_it_was_copied(vec![file("b", "")], true)]
#[case::moved(vec![file(".wh.a", ""), file("c/d", "one")], true)]
#[case::beside_another(vec![file("b", "two")], true)]
#[case::deleted(vec![file(".wh.a", "")], false)]
#[case::written_over(vec![file("a", "two")], false)]
#[case::written_over_by_nothing(vec![file("a", "")], false)]
#[case::behind_a_link(vec![link(b'2', "a", "b")], false)]
#[case::twice_in_one_layer(vec![file("a", "one"), file("a", "two")], false)]
#[case::placed_again(vec![file("a", "two"), file("a", "one")], true)]
fn a_file_that_is_asked_for_is_there_as_a_container_sees_it(#[case] later: Vec<Vec<u8>>, #[case] there: bool) {
    let layers = [ended(&[file("a", "one")]), ended(&later)];
    let one = digest(b"one");
    assert_eq!(held(&layers, &[&one]), if there { BTreeSet::from([one]) } else { BTreeSet::new() });
}

#[rstest]
#[case::the_folder_is_deleted(vec![file(".wh.app", "")])]
#[case::the_folder_is_emptied(vec![file("app/.wh..wh..opq", "")])]
#[case::the_folder_is_a_link_now(vec![link(b'2', "app", "opt")])]
fn a_file_goes_with_its_folder(#[case] later: Vec<Vec<u8>>) {
    let one = digest(b"one");
    let lower = ended(&[file("app/x/a", "one")]);
    assert_eq!(held(&[lower.clone(), ended(&later)], &[&one]), BTreeSet::new());
    // Beside a folder whose name begins alike.
    let beside = ended(&[file("apparel/a", "one")]);
    assert_eq!(held(&[lower, beside, ended(&later)], &[&one]), BTreeSet::from([one.clone()]));
}

#[test]
fn an_empty_file_can_be_asked_for_and_nothing_can() {
    let layers = [ended(&[file("a", "one"), file("b", "")])];
    let [none, empty] = ["none", ""].map(|text| digest(text.as_bytes()));
    assert_eq!(held(&layers, &[&none, &empty]), BTreeSet::from([empty]));
    assert_eq!(held(&layers, &[]), BTreeSet::new());
}

fn held(layers: &[Vec<u8>], files: &[&String]) -> BTreeSet<String> {
    let saved = Image::of(Saved::Blobs, layers).saved();
    let wanted = Wanted { files: files.iter().map(|digest| (*digest).clone()).collect(), folder: None };
    scan(&mut saved.as_slice(), &wanted).unwrap().held
}

#[rstest]
#[case::a_folder("/app", &["a", "b/c", "gone"])]
#[case::with_a_slash("app/", &["a", "b/c", "gone"])]
#[case::a_deeper_one("/app/b", &["c"])]
#[case::the_root("", &["app/a", "app/b/c", "app/gone", "apparel/d"])]
#[case::one_that_is_not_there("/opt", &[])]
fn a_folder_is_listed_with_what_a_later_layer_deletes(#[case] folder: &str, #[case] below: &[&str]) {
    let lower = ended(&[file("app/a", "one"), file("app/gone", "x"), link(b'2', "app/b/c", "a")]);
    let saved = Image::of(Saved::Blobs, &[lower, ended(&[file("app/.wh.gone", ""), file("apparel/d", "")])]).saved();
    let wanted = Wanted { files: BTreeSet::new(), folder: Some(folder.to_owned()) };
    let listed = scan(&mut saved.as_slice(), &wanted).unwrap().below;
    assert_eq!(listed, below.iter().map(|path| (*path).to_owned()).collect());
}

#[test]
fn a_layer_by_zstd_is_refused_by_its_name() {
    let mut image = Image::of(Saved::Blobs, &[ended(&[file("a", "x")])]);
    image.layers[0].1 = [0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0].to_vec();
    refused(answer(&image.saved()), "zstd");
}

#[test]
fn bytes_behind_the_image_are_no_answer() {
    let mut saved = Image::of(Saved::Blobs, &[ended(&[file("a", "x")])]).saved();
    saved.extend(vec![0; 512]);
    answer(&saved).unwrap();
    saved.extend(file("b", "y"));
    refused(answer(&saved), "behind its end mark");
}

#[test]
fn an_archive_of_documents_without_end_is_refused() {
    let large = " ".repeat(4 << 20);
    let entries: Vec<Vec<u8>> = (0..9).map(|number| file(&format!("{number}"), &large)).collect();
    refused(answer(&ended(&entries)), "documents");
}

#[test]
fn findings_without_end_are_counted() {
    let names: Vec<Vec<u8>> = (0..1500).map(|number| file(&format!("{number}/.env"), "")).collect();
    let layer = ended(&names);
    let scanned = answer(&Image::of(Saved::Folders, &[layer, ended(&[file("last/.env", "")])]).saved()).unwrap();
    assert_eq!((scanned.findings.len(), scanned.more), (1000, 501));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever byte is another one: an error, or the answer that is true.
    #[test]
    fn a_changed_byte_never_gives_another_answer(at in any::<proptest::sample::Index>(), with in any::<u8>(), packed in any::<bool>()) {
        let mut image = Image::of(Saved::Blobs, &[ended(&[file("a", &key())]), ended(&[file("b", "y")])]);
        if packed {
            image.layers[0].1 = gzip(&image.layers[0].1);
        }
        let mut bytes = image.saved();
        let whole = answer(&bytes).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = with;
        if let Ok(scanned) = answer(&bytes) {
            // A space more in a document is the same document with another digest.
            prop_assert_eq!(scanned.layers, whole.layers);
            prop_assert_eq!(scanned.findings, whole.findings);
        }
    }
}
