// What server scripts find in Campanile. A name that is not here does not exist yet: using it is a TypeError or a
// ReferenceError.

/** What is taken where a value is expected: elements give their value at the time of the call. */
type GlideValue =
  | string
  | number
  | boolean
  | null
  | undefined
  | GlideElement
  | GlideRecord
  | GlideDateTime
  | GlideValue[]
  | object;

/** An array that also has the methods of a Java list. `toString()` gives `[a, b]`. */
interface GlideList<T> extends Array<T> {
  size(): number;
  get(index: number): T | undefined;
  isEmpty(): boolean;
  contains(value: unknown): boolean;
  toArray(): T[];
  iterator(): { hasNext(): boolean; next(): T };
}

/**
 * A query, a cursor over its rows, and the field values of the current row.
 *
 * Every field of the table is a property that holds its element; assigning to it sets the field. A field hides the
 * method of the same name (`_query` and `_next` exist for that).
 */
declare class GlideRecord {
  constructor(table: string);
  [field: string]: any;

  // Query building. Operators: = != > >= < <= IN, NOT IN, CONTAINS, DOES NOT CONTAIN, STARTSWITH, ENDSWITH …
  addQuery(encodedQuery: string): GlideQueryCondition;
  addQuery(field: string, value: GlideValue): GlideQueryCondition;
  addQuery(field: string, operator: string, value: GlideValue): GlideQueryCondition;
  addEncodedQuery(query: string): GlideQueryCondition;
  addActiveQuery(): GlideQueryCondition;
  addInactiveQuery(): GlideQueryCondition;
  addNullQuery(field: string): GlideQueryCondition;
  addNotNullQuery(field: string): GlideQueryCondition;
  orderBy(field: string): void;
  orderByDesc(field: string): void;
  /** Zero or less: no limit. */
  setLimit(rows: number): void;
  /** Zero-based; the last row is not included. */
  chooseWindow(first: number, last: number): void;
  getEncodedQuery(): string;
  isValidEncodedQuery(query: string): boolean;
  /** Accepted, without effect. */
  setNoCount(): void;
  setCategory(category: string): void;
  setQueryReferences(on: boolean): void;
  disableSysIdInOptimization(): void;
  addExtraField(path: string): void;
  addDomainQuery(record: GlideRecord): void;

  // Executing and moving.
  query(field?: string, value?: GlideValue): void;
  _query(field?: string, value?: GlideValue): void;
  queryNoDomain(): void;
  next(): boolean;
  _next(): boolean;
  hasNext(): boolean;
  /** By sys_id, else by display value. */
  get(value: GlideValue): boolean;
  get(field: string, value: GlideValue): boolean;
  getRowCount(): number;

  // Reading. Field names may walk through references: `caller_id.manager.name`.
  /** Stored text: `null` when nil or unknown; booleans `'1'` and `'0'`. */
  getValue(field: string): string | null;
  getDisplayValue(field?: string): string | null;
  getElement(field: string): GlideElement | null;
  getElements(): GlideElement[];
  getFields(): GlideList<GlideElement>;
  getUniqueValue(): string | null;
  getTableName(): string;
  getRecordClassName(): string;
  getClassDisplayValue(): string;
  getLabel(): string;
  getPlural(): string;
  getAttribute(field: string): string | null;
  getLink(noStack?: boolean): string;
  getLastErrorMessage(): string | null;
  hasAttachments(): boolean;
  isValid(): boolean;
  isValidField(field: string): boolean;
  isValidRecord(): boolean;
  isNewRecord(): boolean;
  isView(): boolean;
  instanceOf(table: string): boolean;
  operation(): 'insert' | 'update' | 'delete' | null;
  changes(): boolean;
  canRead(): boolean;
  canWrite(): boolean;
  canCreate(): boolean;
  canDelete(): boolean;

  // Preparing and writing.
  initialize(): void;
  newRecord(): void;
  /** `null` has no effect, `'NULL'` clears. */
  setValue(field: string, value: GlideValue): void;
  setDisplayValue(field: string, text: string | null): void;
  /** The sys_id, `null` when refused. */
  insert(): string | null;
  update(reason?: string): string | null;
  updateMultiple(): void;
  deleteRecord(): boolean;
  deleteMultiple(): void;
  setNewGuid(): void;
  setNewGuidValue(sysId: string): void;
  autoSysFields(on: boolean): void;
  setWorkflow(on: boolean): void;
  setForceUpdate(on: boolean): void;
  setAbortAction(abort: boolean): void;
  isActionAborted(): boolean;
}

/** As `GlideRecord`, with the rights of the session. */
declare class GlideRecordSecure extends GlideRecord {}

/** A condition that `addQuery` returned. Two arguments mean equality. */
interface GlideQueryCondition {
  addOrCondition(field: string, value: GlideValue): GlideQueryCondition;
  addOrCondition(field: string, operator: string, value: GlideValue): GlideQueryCondition;
  addCondition(field: string, value: GlideValue): GlideQueryCondition;
  addCondition(field: string, operator: string, value: GlideValue): GlideQueryCondition;
}

/**
 * A live handle on one field: it follows its record object. In expressions it is judged by its value (`if`, `!`,
 * `&&`), compared by value (`==`), and becomes its script text. Fields of a reference's target are its properties.
 * Methods of `String` work on its script text.
 */
declare class GlideElement {
  private constructor();
  [targetField: string]: any;

  toString(): string;
  /** Stored text, `null` when nil. */
  getValue(): string | null;
  getDisplayValue(maxCharacters?: number): string;
  setValue(value: GlideValue): void;
  setDisplayValue(text: string | null): void;
  nil(): boolean;
  hasValue(): boolean;
  changes(): boolean;
  changesFrom(value: GlideValue): boolean;
  changesTo(value: GlideValue): boolean;
  /** An empty record object for a nil reference, `null` when the field is no reference. */
  getRefRecord(): GlideRecord | null;
  getReferenceTable(): string | null;
  getGlideRecord(): GlideRecord;
  /** The live date of a temporal field, else `null`. */
  getGlideObject(): GlideDateTime | null;
  dateNumericValue(): number;
  setDateNumericValue(millis: number): void;
  /** The newest `count` entries, -1 for all. */
  getJournalEntry(count: number): string;
  setJournalEntry(text: string, userName?: string): void;
  getName(): string;
  getLabel(): string;
  getTableName(): string;
  getBaseTableName(): string;
  getED(): GlideElementDescriptor;
  getAttribute(name: string): string | null;
  getBooleanAttribute(name: string): boolean;
  hasAttribute(name: string): boolean;
  getChoices(): GlideList<string>;
  getChoiceValue(): string;
  setError(message: string): void;
  getError(): string;
  canRead(): boolean;
  canWrite(): boolean;
  canCreate(): boolean;
  readonly length: number;
}

/** Dictionary facts of a field. */
interface GlideElementDescriptor {
  getName(): string;
  getLabel(): string;
  getPlural(): string;
  getLength(): number;
  getInternalType(): string;
  isMandatory(): boolean;
  isChoiceTable(): boolean;
  isVirtual(): boolean;
  isAutoOrSysID(): boolean;
  isEncrypted(): boolean;
  hasAttribute(name: string): boolean;
}

/** An instant in UTC, or an invalid one. `<` and `-` compare and compute milliseconds, text is UTC. */
declare class GlideDateTime {
  /** Without an argument: now. A text is UTC, `yyyy-MM-dd HH:mm:ss` and the other formats of the reference. */
  constructor(value?: string | number | GlideDateTime | GlideElement);
  getValue(): string;
  toString(): string;
  getNumericValue(): number;
  setValue(value: string | number | GlideDateTime | GlideElement): void;
  setInitialValue(value: string | number | GlideDateTime | GlideElement): void;
  setNumericValue(millis: number): void;
  isValid(): boolean;
  hasDate(): boolean;
  getErrorMsg(): string;
  compareTo(other: GlideDateTime | string): -1 | 0 | 1;
  before(other: GlideDateTime | string): boolean;
  after(other: GlideDateTime | string): boolean;
  onOrBefore(other: GlideDateTime | string): boolean;
  onOrAfter(other: GlideDateTime | string): boolean;
  equals(other: GlideDateTime | string): boolean;
}

interface GlideUser {
  getID(): string;
  getName(): string;
  getDisplayName(): string;
  getFirstName(): string;
  getLastName(): string;
  getEmail(): string;
  hasRole(roles: string): boolean;
  /** Its `toString()` gives the comma-separated roles. */
  getRoles(): GlideList<string>;
}

interface GlideSession {
  isInteractive(): boolean;
  isLoggedIn(): boolean;
  getRoles(): string;
}

interface GlideSystem {
  // Logging. `{0}` … are replaced by the arguments, or by the items of an array.
  info(message: unknown, ...fillings: unknown[]): void;
  warn(message: unknown, ...fillings: unknown[]): void;
  error(message: unknown, ...fillings: unknown[]): void;
  debug(message: unknown, ...fillings: unknown[]): void;
  log(message: unknown, source?: string): void;
  logWarning(message: unknown, source?: string): void;
  logError(message: unknown, source?: string): void;
  /** To the process log and the script's own output, not to `syslog`. */
  print(message: unknown): void;
  isDebugging(): boolean;

  addInfoMessage(message: unknown): void;
  addErrorMessage(message: unknown): void;
  getInfoMessages(): GlideList<string>;
  getErrorMessages(): GlideList<string>;
  flushMessages(): void;
  getMessage(key: string, fillings?: unknown[] | unknown): string;

  getUserID(): string;
  userID(): string;
  getUserName(): string;
  getUserDisplayName(): string;
  getUser(): GlideUser;
  getSession(): GlideSession;
  /** Any of the comma-separated roles; always true for admin. */
  hasRole(roles: string): boolean;
  isInteractive(): boolean;
  isLoggedIn(): boolean;
  isMobile(): boolean;

  getProperty(name: string): string | null;
  getProperty<T>(name: string, alternative: T): string | T;
  setProperty(name: string, value: unknown, description?: string): void;

  eventQueue(
    name: string,
    record: GlideRecord | null,
    parm1?: GlideValue,
    parm2?: GlideValue,
    queue?: string,
  ): void;
  eventQueueScheduled(
    name: string,
    subject: GlideRecord | GlideElement | string | null,
    parm1?: GlideValue,
    parm2?: GlideValue,
    when?: GlideDateTime | GlideElement | string,
  ): void;

  generateGUID(): string;
  tableExists(table: string): boolean;
  /** `null`, `undefined`, `''` or a nil element. */
  nil(value: unknown): boolean;
  getDisplayColumn(table: string): string;
  /** At most 5,000 at a time. */
  sleep(millis: number): void;
  getCurrentScopeName(): 'global';
  getCallerScopeName(): null;
  getCurrentApplicationId(): 'global';

  // Times as UTC text.
  nowDateTime(): string;
  nowNoTZ(): string;
  daysAgo(days: number): string;
  hoursAgo(hours: number): string;
  minutesAgo(minutes: number): string;
  yesterday(): string;
  lastWeek(): string;
}

declare const gs: GlideSystem;

/** The library by another name: `new global.GlideRecord('incident')`. */
declare const global: {
  gs: GlideSystem;
  GlideRecord: typeof GlideRecord;
  GlideRecordSecure: typeof GlideRecordSecure;
  GlideElement: typeof GlideElement;
  GlideDateTime: typeof GlideDateTime;
  JSON: JSON;
  events(record: GlideRecord): void;
  global_events(record: GlideRecord): void;
  getNextObjNumberPadded(): string;
};

/** Raises `<table>.commented`, `.inserted`, `.updated`, `.assigned`, `.inactive` as the operation calls for. */
declare function global_events(record: GlideRecord): void;
/** The next number of `current`'s table, for default values. */
declare function getNextObjNumberPadded(): string;

/** Goes to the log at the level of its name; objects are shown as JSON, arguments are joined by spaces. */
declare const console: {
  log(...values: unknown[]): void;
  info(...values: unknown[]): void;
  warn(...values: unknown[]): void;
  error(...values: unknown[]): void;
  debug(...values: unknown[]): void;
  trace(...values: unknown[]): void;
};

/** The record the script is about; `null` or null-like when there is none. */
declare const current: GlideRecord;
/** Business rules: the values before the operation. */
declare const previous: GlideRecord;
/** Script actions: the `sysevent` row, read-only. */
declare const event: GlideRecord;
/** Business rules: shared by the rules of one operation. */
declare const g_scratchpad: Record<string, any>;
/** Conditions: when assigned, it is the result. */
declare let answer: unknown;
