//! Whether a script could alter what other scripts see, and which globals it may leave behind.
//!
//! A realm that is used again is frozen, so no script can alter it. But a script that tries must see its own
//! change (scripting §2.2); so a script that may try runs in a realm of its own. This is a judgement from the text,
//! and errs on the side of a realm of its own.

use std::collections::HashSet;

use oxc_ast::ast::{
    Argument, AssignmentExpression, AssignmentOperator, AssignmentTarget, BinaryExpression,
    BinaryOperator, CallExpression, Class, ComputedMemberExpression, Expression, Function,
    IdentifierReference, NewExpression, Program, SimpleAssignmentTarget, StaticMemberExpression,
    ThisExpression, UnaryExpression, UnaryOperator, UpdateExpression, WithStatement,
};
use oxc_ast_visit::{Visit, walk};
use oxc_span::GetSpan;
use oxc_syntax::scope::ScopeFlags;

use super::known::is_number;
use super::names::{
    BUILTINS, CALLBACK_METHODS, METHODS, RISKY_GLOBALS, RISKY_PROPERTIES, is_in, is_inherited,
};
use super::scopes;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// The script may try to alter built-in objects.
    pub(crate) alters_realm: bool,
    /// The script may reach the global object by `this`.
    pub(crate) reaches_global: bool,
    /// Names that are assigned where no function declares them.
    pub(crate) assigned: Vec<String>,
    /// Names that the script's own top level declares with `let`, `const` or `class`.
    pub(crate) lexical: HashSet<String>,
}

/// Looks a program through. `globals` are the names that are declared around it.
pub(crate) fn survey(program: &Program<'_>, globals: &[&str]) -> Survey {
    let mut top = scopes::declared(&program.body);
    top.extend(globals);
    let mut surveyor = Surveyor { found: Survey::default(), scopes: vec![top], classes: 0 };
    surveyor.found.lexical =
        scopes::lexical(&program.body).into_iter().map(str::to_owned).collect();
    surveyor.visit_program(program);
    surveyor.found
}

struct Surveyor<'a> {
    found: Survey,
    scopes: Vec<HashSet<&'a str>>,
    classes: usize,
}

impl<'a> Surveyor<'a> {
    fn risky(&mut self) {
        self.found.alters_realm = true;
    }

    /// A function that is called and thereby used up: `f`, `o.m`, `X.prototype.m.call`.
    fn callee(&mut self, it: &Expression<'a>) {
        match it {
            Expression::ParenthesizedExpression(inner) => self.callee(&inner.expression),
            _ => self.consumed(it),
        }
    }

    /// An object of which only a member is used.
    fn consumed(&mut self, it: &Expression<'a>) {
        match it {
            Expression::Identifier(name) => {
                if is_in(RISKY_GLOBALS, name.name.as_str()) {
                    self.risky();
                }
            }
            Expression::StaticMemberExpression(member) => {
                if is_in(RISKY_PROPERTIES, member.property.name.as_str()) {
                    self.risky();
                }
                self.consumed(&member.object);
            }
            _ => self.visit_expression(it),
        }
    }

    fn arguments(&mut self, callee: &Expression<'a>, arguments: &[Argument<'a>]) {
        let calls_back = matches!(
            callee,
            Expression::StaticMemberExpression(member)
                if is_in(CALLBACK_METHODS, member.property.name.as_str())
        );
        for argument in arguments {
            match argument {
                Argument::Identifier(name) if calls_back => {
                    if is_in(RISKY_GLOBALS, name.name.as_str()) {
                        self.risky();
                    }
                }
                _ => self.visit_argument(argument),
            }
        }
    }

    /// An operand that is only compared.
    fn compared(&mut self, it: &Expression<'a>) {
        match it {
            Expression::Identifier(_) => self.consumed(it),
            _ => self.visit_expression(it),
        }
    }

    fn assigned_name(&mut self, name: &str) {
        if !self.scopes.iter().any(|scope| scope.contains(name))
            && !self.found.assigned.iter().any(|known| known == name)
        {
            self.found.assigned.push(name.to_owned());
        }
    }

    /// A member that is written. `guarded` writes go through a helper that knows inherited names.
    fn written(&mut self, object: &Expression<'a>, key: Key<'_, 'a>, guarded: bool) {
        let unsafe_key = match key {
            Key::Name(name) => name == "__proto__" || (!guarded && is_inherited(name)),
            Key::Computed(key) => {
                self.visit_expression(key);
                !guarded && !is_number(key)
            }
        };
        if unsafe_key || matches!(object, Expression::Super(_)) || is_library(object) {
            self.risky();
        }
        self.visit_expression(object);
    }

    fn target(&mut self, target: &SimpleAssignmentTarget<'a>, guarded: bool) {
        match target {
            SimpleAssignmentTarget::AssignmentTargetIdentifier(name) => {
                self.assigned_name(name.name.as_str());
                if is_in(BUILTINS, name.name.as_str()) || is_in(RISKY_GLOBALS, name.name.as_str()) {
                    self.risky();
                }
            }
            SimpleAssignmentTarget::StaticMemberExpression(member) => {
                self.written(&member.object, Key::Name(member.property.name.as_str()), guarded);
            }
            SimpleAssignmentTarget::ComputedMemberExpression(member) => {
                self.written(&member.object, Key::Computed(&member.expression), guarded);
            }
            _ => walk::walk_simple_assignment_target(self, target),
        }
    }
}

enum Key<'e, 'a> {
    Name(&'e str),
    Computed(&'e Expression<'a>),
}

/// `gs`, `GlideRecord.prototype` and the like, which the realm shares too.
fn is_library(object: &Expression<'_>) -> bool {
    match object {
        Expression::Identifier(name) => {
            name.name == "gs" || name.name == "global" || name.name.starts_with("Glide")
        }
        Expression::StaticMemberExpression(member) => is_library(&member.object),
        _ => false,
    }
}

/// `MAX_SAFE_INTEGER`, `PI`: a number, no object.
fn is_constant_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

impl<'a> Visit<'a> for Surveyor<'a> {
    fn visit_identifier_reference(&mut self, it: &IdentifierReference<'a>) {
        let name = it.name.as_str();
        if is_in(BUILTINS, name) || is_in(RISKY_GLOBALS, name) {
            self.risky();
        }
    }

    fn visit_this_expression(&mut self, _it: &ThisExpression) {
        if self.classes == 0 {
            self.found.reaches_global = true;
        }
    }

    fn visit_with_statement(&mut self, it: &WithStatement<'a>) {
        self.risky();
        walk::walk_with_statement(self, it);
    }

    fn visit_static_member_expression(&mut self, it: &StaticMemberExpression<'a>) {
        let name = it.property.name.as_str();
        if is_in(RISKY_PROPERTIES, name) || is_in(METHODS, name) {
            self.risky();
        }
        if is_constant_name(name) {
            self.consumed(&it.object);
        } else {
            self.visit_expression(&it.object);
        }
    }

    fn visit_computed_member_expression(&mut self, it: &ComputedMemberExpression<'a>) {
        if let Expression::StringLiteral(key) = &it.expression
            && (is_in(RISKY_PROPERTIES, key.value.as_str()) || is_in(METHODS, key.value.as_str()))
        {
            self.risky();
        }
        walk::walk_computed_member_expression(self, it);
    }

    fn visit_call_expression(&mut self, it: &CallExpression<'a>) {
        self.callee(&it.callee);
        self.arguments(&it.callee, &it.arguments);
    }

    fn visit_new_expression(&mut self, it: &NewExpression<'a>) {
        self.callee(&it.callee);
        self.arguments(&it.callee, &it.arguments);
    }

    fn visit_binary_expression(&mut self, it: &BinaryExpression<'a>) {
        match it.operator {
            BinaryOperator::Instanceof
            | BinaryOperator::Equality
            | BinaryOperator::Inequality
            | BinaryOperator::StrictEquality
            | BinaryOperator::StrictInequality => {
                self.compared(&it.left);
                self.compared(&it.right);
            }
            _ => walk::walk_binary_expression(self, it),
        }
    }

    fn visit_unary_expression(&mut self, it: &UnaryExpression<'a>) {
        if it.operator == UnaryOperator::Typeof {
            self.compared(&it.argument);
        } else {
            walk::walk_unary_expression(self, it);
        }
    }

    fn visit_assignment_expression(&mut self, it: &AssignmentExpression<'a>) {
        let guarded = it.span.start == it.left.span().start
            && matches!(
                it.operator,
                AssignmentOperator::Assign
                    | AssignmentOperator::Addition
                    | AssignmentOperator::LogicalAnd
                    | AssignmentOperator::LogicalOr
            );
        match it.left.as_simple_assignment_target() {
            Some(target) => self.target(target, guarded),
            None => self.visit_assignment_target(&it.left),
        }
        self.visit_expression(&it.right);
    }

    fn visit_update_expression(&mut self, it: &UpdateExpression<'a>) {
        self.target(&it.argument, true);
    }

    fn visit_assignment_target(&mut self, it: &AssignmentTarget<'a>) {
        match it.as_simple_assignment_target() {
            Some(target) => self.target(target, false),
            None => walk::walk_assignment_target(self, it),
        }
    }

    fn visit_assignment_target_property_identifier(
        &mut self,
        it: &oxc_ast::ast::AssignmentTargetPropertyIdentifier<'a>,
    ) {
        self.assigned_name(it.binding.name.as_str());
        if is_in(BUILTINS, it.binding.name.as_str()) {
            self.risky();
        }
        if let Some(init) = &it.init {
            self.visit_expression(init);
        }
    }

    fn visit_function(&mut self, it: &Function<'a>, flags: ScopeFlags) {
        let mut names =
            it.body.as_ref().map(|b| scopes::declared(&b.statements)).unwrap_or_default();
        scopes::add_parameters(&it.params, &mut names);
        if let Some(name) = &it.id {
            names.insert(name.name.as_str());
        }
        names.insert("arguments");
        self.scopes.push(names);
        walk::walk_function(self, it, flags);
        self.scopes.pop();
    }

    fn visit_arrow_function_expression(&mut self, it: &oxc_ast::ast::ArrowFunctionExpression<'a>) {
        let mut names = it
            .body
            .as_function_body()
            .map(|body| scopes::declared(&body.statements))
            .unwrap_or_default();
        scopes::add_parameters(&it.params, &mut names);
        self.scopes.push(names);
        walk::walk_arrow_function_expression(self, it);
        self.scopes.pop();
    }

    fn visit_class(&mut self, it: &Class<'a>) {
        self.classes += 1;
        if let Some(heritage) = &it.heritage {
            self.consumed(&heritage.expression);
        }
        self.visit_class_body(&it.body);
        self.classes -= 1;
    }
}
