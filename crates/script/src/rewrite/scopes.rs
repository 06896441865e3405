//! Which names a function declares for all of its body.

use std::collections::HashSet;

use oxc_ast::ast::{
    ArrowFunctionExpression, BindingIdentifier, Class, FormalParameters, Function, Statement,
    VariableDeclaration, VariableDeclarationKind,
};
use oxc_ast_visit::{Visit, walk};
use oxc_syntax::scope::ScopeFlags;

/// Names of `var` and function declarations in these statements, nested functions left out. Block-scoped names
/// are not among them: outside of their block the same name may be a global.
pub(super) fn declared<'a>(statements: &[Statement<'a>]) -> HashSet<&'a str> {
    let mut collector = Collector { names: HashSet::new(), in_declaration: false };
    for statement in statements {
        collector.visit_statement(statement);
    }
    collector.names
}

/// Names of parameters, added to `names`.
pub(super) fn add_parameters<'a>(parameters: &FormalParameters<'a>, names: &mut HashSet<&'a str>) {
    let mut collector = Collector { names: std::mem::take(names), in_declaration: true };
    for parameter in &parameters.items {
        collector.visit_binding_pattern(&parameter.pattern);
    }
    if let Some(rest) = &parameters.rest {
        collector.visit_formal_parameter_rest(rest);
    }
    *names = collector.names;
}

/// Names that `let`, `const` and `class` declare directly in these statements.
pub(super) fn lexical<'a>(statements: &[Statement<'a>]) -> HashSet<&'a str> {
    let mut collector = Collector { names: HashSet::new(), in_declaration: true };
    for statement in statements {
        match statement {
            Statement::VariableDeclaration(declaration)
                if declaration.kind != VariableDeclarationKind::Var =>
            {
                for declarator in &declaration.declarations {
                    collector.visit_binding_pattern(&declarator.id);
                }
            }
            Statement::ClassDeclaration(class) => {
                if let Some(name) = &class.id {
                    collector.visit_binding_identifier(name);
                }
            }
            _ => {}
        }
    }
    collector.names
}

struct Collector<'a> {
    names: HashSet<&'a str>,
    in_declaration: bool,
}

impl<'a> Visit<'a> for Collector<'a> {
    fn visit_variable_declaration(&mut self, it: &VariableDeclaration<'a>) {
        if it.kind != VariableDeclarationKind::Var {
            return;
        }
        self.in_declaration = true;
        for declarator in &it.declarations {
            self.visit_binding_pattern(&declarator.id);
        }
        self.in_declaration = false;
    }

    fn visit_binding_identifier(&mut self, it: &BindingIdentifier<'a>) {
        if self.in_declaration {
            self.names.insert(it.name.as_str());
        }
    }

    fn visit_function(&mut self, it: &Function<'a>, _flags: ScopeFlags) {
        if it.is_declaration()
            && let Some(name) = &it.id
        {
            self.names.insert(name.name.as_str());
        }
    }

    fn visit_arrow_function_expression(&mut self, _it: &ArrowFunctionExpression<'a>) {}

    fn visit_class(&mut self, _it: &Class<'a>) {}

    fn visit_expression(&mut self, _it: &oxc_ast::ast::Expression<'a>) {
        // No declaration hides in an expression, but for functions, which are left out.
    }

    fn visit_for_statement(&mut self, it: &oxc_ast::ast::ForStatement<'a>) {
        walk::walk_for_statement(self, it);
    }
}
