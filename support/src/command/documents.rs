//! Commands over documents and folders: `Test-Path`, `Get-Content`, `rg`, `terraform output`.

use super::template::TemplateError;
use super::typed::{Command, RipGrep, bad_value, document, missing, only_words, plain, unexpected, unknown_flag};
use super::words::{Token, Word};

pub(super) fn test_path(tokens: &[Token]) -> Result<Command, TemplateError> {
    let paths = tokens
        .split(|token| *token == Token::And)
        .map(|part| match part {
            [Token::Word(program), Token::Word(path)] if program.text == "Test-Path" => {
                document("Test-Path", plain("Test-Path", path)?)
            }
            [Token::Word(program)] if program.text == "Test-Path" => Err(missing("Test-Path", "a path")),
            [Token::Word(program), Token::Word(_), Token::Word(more), ..] if program.text == "Test-Path" => {
                Err(unexpected("Test-Path", &more.text))
            }
            _ => Err(TemplateError::SecondCommand { command: written(part) }),
        })
        .collect::<Result<_, _>>()?;
    Ok(Command::TestPath { paths })
}

fn written(tokens: &[Token]) -> String {
    let words: Vec<&str> = tokens
        .iter()
        .map(|token| match token {
            Token::Word(word) => word.text.as_str(),
            Token::And => "&&",
            Token::Pipe => "|",
        })
        .collect();
    words.join(" ")
}

pub(super) fn get_content(tokens: &[Token]) -> Result<Command, TemplateError> {
    const NAME: &str = "Get-Content";
    let Some(at) = tokens.iter().position(|token| *token == Token::Pipe) else {
        return Err(missing(NAME, "`| ConvertFrom-Json`"));
    };
    let (reading, rest) = tokens.split_at(at);
    match rest {
        [Token::Pipe, Token::Word(converter)] if converter.text == "ConvertFrom-Json" => {}
        _ => {
            return Err(TemplateError::Superfluous { command: NAME.to_owned(), found: written(rest) });
        }
    }
    // `-Raw` changes how PowerShell hands the lines on, not what the JSON says.
    let mut operands = only_words(NAME, reading)?.into_iter().filter(|word| word.text != "-Raw");
    let path = operands.next().ok_or_else(|| missing(NAME, "a path"))?;
    if let Some(more) = operands.next() {
        return Err(unexpected(NAME, &more.text));
    }
    Ok(Command::GetContent { path: document(NAME, plain(NAME, path)?)? })
}

pub(super) fn rip_grep(words: &[&Word]) -> Result<Command, TemplateError> {
    let mut command = RipGrep {
        pattern: String::new(),
        alternatives: Vec::new(),
        case_insensitive: false,
        line_numbers: false,
        paths: Vec::new(),
    };
    let mut words = words.iter().copied().peekable();
    while let Some(flag) = words.next_if(|word| word.text.starts_with('-') && !word.quoted) {
        match flag.text.as_str() {
            "--" => break,
            "-n" | "--line-number" => command.line_numbers = true,
            "-i" | "--ignore-case" => command.case_insensitive = true,
            "-ni" | "-in" => (command.line_numbers, command.case_insensitive) = (true, true),
            other => return Err(unknown_flag("rg", other)),
        }
    }
    let pattern = words.next().ok_or_else(|| missing("rg", "a pattern"))?;
    if !pattern.quoted && (pattern.glob || pattern.braces) {
        return Err(bad_value("rg", "the pattern", "its special characters must be quoted"));
    }
    for word in words {
        if word.quoted && word.text.contains(['*', '?']) || word.braces {
            return Err(bad_value("rg", &word.text, "a path may hold `*` and `?` outside quotes only, and no braces"));
        }
        if word.text.starts_with('-') {
            return Err(unknown_flag("rg", &word.text));
        }
        command.paths.push(document("rg", word.text.clone())?);
    }
    if command.paths.is_empty() {
        return Err(missing("rg", "a document to search"));
    }
    command.with_pattern(pattern.text.clone()).map(Command::RipGrep)
}

pub(super) fn terraform(words: &[&Word]) -> Result<Command, TemplateError> {
    const NAME: &str = "terraform output";
    let mut chdir = None;
    let mut json = false;
    let mut output = false;
    for word in words {
        let text = plain(NAME, word)?;
        match (text.strip_prefix("-chdir="), text.as_str(), output) {
            (Some(folder), _, false) if chdir.is_none() => chdir = Some(document(NAME, folder.to_owned())?),
            (None, "output", false) => output = true,
            (None, "-json", true) if !json => json = true,
            (None, other, false) if !other.starts_with('-') => {
                return Err(TemplateError::UnknownOperation { found: format!("terraform {other}") });
            }
            _ => return Err(unexpected(NAME, &text)),
        }
    }
    if !output {
        return Err(TemplateError::UnknownOperation { found: "terraform".to_owned() });
    }
    if !json {
        return Err(missing(NAME, "-json"));
    }
    Ok(Command::TerraformOutput { chdir: chdir.ok_or_else(|| missing(NAME, "-chdir=<folder>"))? })
}
