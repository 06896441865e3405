//! The walk over a script: statements, functions, loops. Expressions are in [`super::expressions`].

use oxc_ast::AstKind;
use oxc_ast::ast::{
    ArrowFunctionExpression, BindingIdentifier, BlockStatement, CatchClause, DoWhileStatement,
    Expression, ExpressionStatement, ForInStatement, ForOfStatement, ForStatement, Function,
    FunctionBody, IdentifierReference, IfStatement, LabeledStatement, ObjectProperty, Program,
    Statement, StaticBlock, SwitchStatement, ThrowStatement, TryStatement, WhileStatement,
    WithStatement,
};
use oxc_ast_visit::{Visit, walk};
use oxc_span::GetSpan;
use oxc_syntax::scope::ScopeFlags;

use super::edits::Edits;
use super::names::{EVAL_PARAMETER, RESERVED_PREFIX};

/// Deepest nesting of a script's tree. Generated texts join hundreds of strings; nobody nests thousands.
const DEPTH_MAX: usize = 4_000;

/// What the edited text is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The body of a function; no value is wanted.
    Body,
    /// The body of a function; `$$_v` receives the completion value (scripting §1.4).
    BodyWithValue,
    /// Text for the engine's own `eval`, which keeps the completion value itself.
    Eval,
}

/// Why a text is refused that parses.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) at: u32,
    pub(crate) message: &'static str,
}

/// Collects the edits of a program that was parsed from `source`.
pub(crate) fn rewrite<'s>(
    program: &Program<'_>,
    source: &'s str,
    mode: Mode,
) -> Result<Edits<'s>, Refused> {
    let mut rewriter = Rewriter {
        edits: Edits::new(source),
        mode,
        functions: 0,
        strict: vec![has_use_strict(&program.directives)],
        statement_start: None,
        value_unused: None,
        withs: 0,
        depth: 0,
        refused: None,
    };
    if mode == Mode::BodyWithValue
        && let Some(last) = program.directives.last()
    {
        // A directive is an expression statement too: `"true"` alone is a condition.
        let text = rewriter.edits.slice(last.expression.span.start, last.expression.span.end);
        rewriter.edits.insert(last.span.end, format!(";$$_v={text};"));
    }
    for statement in &program.body {
        rewriter.visit_statement(statement);
    }
    match rewriter.refused {
        None => Ok(rewriter.edits),
        Some(refused) => Err(refused),
    }
}

pub(super) struct Rewriter<'s> {
    pub(super) edits: Edits<'s>,
    mode: Mode,
    /// How many functions we are in.
    functions: usize,
    /// Strictness of the functions we are in.
    strict: Vec<bool>,
    /// Where the expression statement that we are in begins: an edit there must not begin with `(`.
    pub(super) statement_start: Option<u32>,
    /// The expression whose value nobody uses.
    pub(super) value_unused: Option<oxc_span::Span>,
    /// How many `with` statements we are in: there, reading a name may run code.
    withs: usize,
    depth: usize,
    refused: Option<Refused>,
}

impl Rewriter<'_> {
    pub(super) fn refuse(&mut self, at: u32, message: &'static str) {
        self.refused.get_or_insert(Refused { at, message });
    }

    /// Names may mean properties of an object.
    pub(super) fn in_with(&self) -> bool {
        self.withs > 0
    }

    pub(super) fn is_strict(&self) -> bool {
        self.strict.last().copied().unwrap_or(false)
    }

    /// We are where the engine's `eval` keeps the completion value: no statement may be inserted.
    fn keeps_engine_completion(&self) -> bool {
        self.mode == Mode::Eval && self.functions == 0
    }

    /// We are where `$$_v` receives completion values.
    fn captures_value(&self) -> bool {
        self.mode == Mode::BodyWithValue && self.functions == 0
    }

    /// The statement that raises a termination.
    fn checkpoint(&self) -> &'static str {
        if self.keeps_engine_completion() {
            "const $$_0=$$_k[0]&&$$_s();"
        } else {
            "if($$_k[0])$$_s();"
        }
    }

    fn enter_function(&mut self, body: &FunctionBody<'_>) {
        self.functions += 1;
        self.strict.push(self.is_strict() || has_use_strict(&body.directives));
        let at = body.directives.last().map_or(body.span.start + 1, |last| last.span.end);
        let semicolon = body
            .directives
            .last()
            .is_some_and(|last| !self.edits.slice(last.span.start, last.span.end).ends_with(';'));
        let checkpoint = if semicolon { ";if($$_k[0])$$_s();" } else { "if($$_k[0])$$_s();" };
        self.edits.insert(at, checkpoint);
    }

    fn leave_function(&mut self) {
        self.functions -= 1;
        self.strict.pop();
    }

    fn block_checkpoint(&mut self, block: &BlockStatement<'_>) {
        self.edits.insert(block.span.start + 1, self.checkpoint());
    }

    /// A loop's body, with a checkpoint at its head.
    fn loop_body(&mut self, body: &Statement<'_>) {
        if let Statement::BlockStatement(block) = body {
            self.block_checkpoint(block);
            self.visit_statement(body);
        } else {
            self.edits.insert(body.span().start, format!("{{{}", self.checkpoint()));
            self.visit_statement(body);
            self.edits.insert(body.span().end, "}");
        }
    }

    /// Before a statement whose completion value is `undefined` when nothing in it has one.
    fn reset_value(&mut self, at: u32) -> bool {
        let captures = self.captures_value();
        if captures {
            self.edits.insert(at, "{$$_v=void 0;");
        }
        captures
    }

    fn resets_value(statement: &Statement<'_>) -> bool {
        match statement {
            Statement::IfStatement(_)
            | Statement::DoWhileStatement(_)
            | Statement::WhileStatement(_)
            | Statement::ForStatement(_)
            | Statement::ForInStatement(_)
            | Statement::ForOfStatement(_)
            | Statement::SwitchStatement(_)
            | Statement::TryStatement(_)
            | Statement::WithStatement(_) => true,
            Statement::LabeledStatement(labelled) => Self::resets_value(&labelled.body),
            _ => false,
        }
    }
}

impl<'a> Visit<'a> for Rewriter<'_> {
    fn enter_node(&mut self, kind: AstKind<'a>) {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            self.refuse(kind.span().start, "the text is nested too deeply");
        }
    }

    fn leave_node(&mut self, _kind: AstKind<'a>) {
        self.depth -= 1;
    }

    fn visit_statement(&mut self, it: &Statement<'a>) {
        if self.refused.is_some() {
            return;
        }
        let outer = (self.statement_start.take(), self.value_unused.take());
        if Self::resets_value(it) && self.reset_value(it.span().start) {
            walk::walk_statement(self, it);
            self.edits.insert(it.span().end, "}");
        } else {
            walk::walk_statement(self, it);
        }
        (self.statement_start, self.value_unused) = outer;
    }

    fn visit_labeled_statement(&mut self, it: &LabeledStatement<'a>) {
        // The label stays on its loop: what resets the completion value stands before the label.
        walk::walk_statement(self, &it.body);
    }

    fn visit_expression_statement(&mut self, it: &ExpressionStatement<'a>) {
        let start = it.expression.span().start;
        if self.captures_value() {
            self.edits.insert(start, "$$_v=(");
            self.visit_expression(&it.expression);
            self.edits.insert(it.expression.span().end, ")");
            return;
        }
        self.statement_start = Some(start);
        if !self.keeps_engine_completion() {
            self.value_unused = Some(it.expression.span());
        }
        self.visit_expression(&it.expression);
    }

    fn visit_if_statement(&mut self, it: &IfStatement<'a>) {
        self.condition(&it.test);
        self.visit_statement(&it.consequent);
        if let Some(alternate) = &it.alternate {
            self.visit_statement(alternate);
        }
    }

    fn visit_while_statement(&mut self, it: &WhileStatement<'a>) {
        self.condition(&it.test);
        self.loop_body(&it.body);
    }

    fn visit_do_while_statement(&mut self, it: &DoWhileStatement<'a>) {
        self.loop_body(&it.body);
        self.condition(&it.test);
    }

    fn visit_for_statement(&mut self, it: &ForStatement<'a>) {
        if let Some(init) = &it.init {
            self.visit_for_statement_init(init);
        }
        if let Some(test) = &it.test {
            self.condition(test);
        }
        if let Some(update) = &it.update {
            self.value_unused = Some(update.span());
            self.visit_expression(update);
            self.value_unused = None;
        }
        self.loop_body(&it.body);
    }

    fn visit_for_in_statement(&mut self, it: &ForInStatement<'a>) {
        self.visit_for_statement_left(&it.left);
        self.visit_expression(&it.right);
        self.loop_body(&it.body);
    }

    fn visit_for_of_statement(&mut self, it: &ForOfStatement<'a>) {
        self.visit_for_statement_left(&it.left);
        self.visit_expression(&it.right);
        self.loop_body(&it.body);
    }

    fn visit_switch_statement(&mut self, it: &SwitchStatement<'a>) {
        walk::walk_switch_statement(self, it);
    }

    fn visit_with_statement(&mut self, it: &WithStatement<'a>) {
        self.withs += 1;
        walk::walk_with_statement(self, it);
        self.withs -= 1;
    }

    fn visit_try_statement(&mut self, it: &TryStatement<'a>) {
        self.visit_block_statement(&it.block);
        if let Some(handler) = &it.handler {
            self.visit_catch_clause(handler);
        }
        if let Some(finalizer) = &it.finalizer {
            self.block_checkpoint(finalizer);
            // What a `finally` computes is not the value of the statement.
            let keeps = self.captures_value();
            if keeps {
                self.edits.insert(finalizer.span.start + 1, "const $$_1=$$_v;");
            }
            self.visit_block_statement(finalizer);
            if keeps {
                self.edits.insert(finalizer.span.end - 1, ";$$_v=$$_1;");
            }
        }
    }

    fn visit_catch_clause(&mut self, it: &CatchClause<'a>) {
        if let Some(param) = &it.param {
            self.visit_catch_parameter(param);
        }
        self.block_checkpoint(&it.body);
        self.visit_block_statement(&it.body);
    }

    fn visit_throw_statement(&mut self, it: &ThrowStatement<'a>) {
        if is_new_error(&it.argument) || self.mode == Mode::Eval {
            walk::walk_throw_statement(self, it);
            return;
        }
        // The position of a thrown value that is no Error is known only here.
        self.edits.insert(it.argument.span().start, "$$_r((");
        self.visit_expression(&it.argument);
        self.edits.insert(it.argument.span().end, format!("),{})", it.span.start));
    }

    fn visit_function(&mut self, it: &Function<'a>, flags: ScopeFlags) {
        if it.generator && it.r#async {
            self.refuse(it.span.start, "async generators are not available");
        }
        let outer = (self.statement_start.take(), self.value_unused.take());
        if let Some(body) = &it.body {
            self.enter_function(body);
        }
        walk::walk_function(self, it, flags);
        if it.body.is_some() {
            self.leave_function();
        }
        (self.statement_start, self.value_unused) = outer;
    }

    fn visit_arrow_function_expression(&mut self, it: &ArrowFunctionExpression<'a>) {
        let outer = (self.statement_start.take(), self.value_unused.take());
        if let Some(expression) = it.body.as_expression() {
            self.functions += 1;
            self.strict.push(self.is_strict());
            self.visit_formal_parameters(&it.params);
            let span = expression.span();
            self.edits.insert(span.start, "($$_k[0]&&$$_s(),");
            self.visit_expression(expression);
            self.edits.insert(span.end, ")");
            self.leave_function();
        } else {
            if let Some(body) = it.body.as_function_body() {
                self.enter_function(body);
            }
            walk::walk_arrow_function_expression(self, it);
            self.leave_function();
        }
        (self.statement_start, self.value_unused) = outer;
    }

    fn visit_class(&mut self, it: &oxc_ast::ast::Class<'a>) {
        let outer = (self.statement_start.take(), self.value_unused.take());
        // Everything in a class is strict, and no part of it yields a completion value.
        self.functions += 1;
        self.strict.push(true);
        walk::walk_class(self, it);
        self.leave_function();
        (self.statement_start, self.value_unused) = outer;
    }

    fn visit_static_block(&mut self, it: &StaticBlock<'a>) {
        let brace = self.edits.slice(it.span.start, it.span.end).find('{').unwrap_or(0);
        self.edits.insert(it.span.start + super::edits::offset(brace + 1), "if($$_k[0])$$_s();");
        walk::walk_static_block(self, it);
    }

    fn visit_object_property(&mut self, it: &ObjectProperty<'a>) {
        if it.shorthand && self.is_eval_name(&it.value) {
            self.edits.insert(it.span.start, "eval:");
        }
        walk::walk_object_property(self, it);
    }

    fn visit_identifier_reference(&mut self, it: &IdentifierReference<'a>) {
        self.check_name(it.name.as_str(), it.span.start);
        if it.name == EVAL_PARAMETER {
            // Not a direct call: that one does not come here.
            self.edits.replace(it.span.start, it.span.end, "$$_y");
        }
    }

    fn visit_binding_identifier(&mut self, it: &BindingIdentifier<'a>) {
        self.check_name(it.name.as_str(), it.span.start);
    }

    fn visit_expression(&mut self, it: &Expression<'a>) {
        if self.refused.is_none() {
            self.expression(it);
        }
    }
}

impl Rewriter<'_> {
    fn check_name(&mut self, name: &str, at: u32) {
        if name.starts_with(RESERVED_PREFIX) {
            self.refuse(at, "names that begin with $$_ are reserved");
        }
    }

    pub(super) fn is_eval_name(&self, expression: &Expression<'_>) -> bool {
        matches!(expression, Expression::Identifier(name) if name.name == EVAL_PARAMETER)
    }
}

fn has_use_strict(directives: &[oxc_ast::ast::Directive<'_>]) -> bool {
    directives.iter().any(|directive| directive.directive == "use strict")
}

/// `new Error(…)` and the like carry their position themselves.
fn is_new_error(expression: &Expression<'_>) -> bool {
    let Expression::NewExpression(new) = expression else { return false };
    matches!(
        &new.callee,
        Expression::Identifier(name) if matches!(
            name.name.as_str(),
            "Error" | "EvalError" | "RangeError" | "ReferenceError" | "SyntaxError" | "TypeError" | "URIError"
        )
    )
}
